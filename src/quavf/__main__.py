from quavf.cli import main

raise SystemExit(main())
