"""Files for other programs: annotation tools, players, scoring tools, spreadsheets."""
