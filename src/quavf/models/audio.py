"""The audio branch: Whisper encoder, temporal attention, one output every 1/30 s."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from quavf.core.clock import SAMPLE_RATE
from quavf.core.records import Floats
from quavf.core.windows import WINDOW_SAMPLES, WINDOW_TICKS
from quavf.models.backbones import load_whisper
from quavf.models.branch import BranchNetwork
from quavf.models.config import AudioConfig, BranchSettings, encoder_shape
from quavf.models.mel import HOP, N_FFT, N_MELS
from quavf.models.runners import Network, TorchRunner, to_array, to_scores
from quavf.models.temporal import TemporalModule

N_POSITIONS = 1500  # outputs of the encoder for 30 s


class AudioBranch(BranchNetwork):
    """Log-mel of 30 s in, logits of (not to me, to me) for each 1/30 s out."""

    name = "audio"
    config: AudioConfig

    def __init__(self, config: AudioConfig, settings: BranchSettings | None = None) -> None:
        super().__init__(config, settings)
        width, n_layers, n_heads = encoder_shape(config.encoder)
        self.encoder = WhisperEncoder(
            WhisperConfig(
                num_mel_bins=N_MELS,
                d_model=width,
                encoder_layers=n_layers,
                encoder_attention_heads=n_heads,
                encoder_ffn_dim=4 * width,
                max_source_positions=N_POSITIONS,
                dropout=0.0,
                attention_dropout=0.0,
                activation_dropout=0.0,
            )
        )
        self.project = nn.Linear(width, config.dim)
        self.temporal = nn.ModuleList(
            TemporalModule(N_POSITIONS, config.dim, config.n_heads) for _ in range(config.n_layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.dim, 2)
        if config.frozen:
            self.encoder.requires_grad_(False)

    def forward(self, mel: Tensor) -> Tensor:
        """mel (B, 80, 3000) -> logits (B, 2, 900)."""
        return self.classify(self.embed(mel))

    def embed(self, mel: Tensor) -> Tensor:
        """mel (B, 80, 3000) -> features of the encoder (B, 1500, W)."""
        features: Tensor = self.encoder(mel).last_hidden_state
        return features

    def classify(self, features: Tensor, n_ticks: int = WINDOW_TICKS) -> Tensor:
        """features (B, 1500, W) of the encoder -> logits (B, 2, 900).

        Only the first `n_ticks` of the 900 are valid; the rest is not computed.
        """
        x = F.relu(self.project(features))  # (B, 1500, D)
        *inner, last = self.temporal
        for temporal in inner:
            x = temporal(x)[:, 1:]  # (B, 1500, D), class token dropped
        if n_ticks == WINDOW_TICKS:
            x = last(x)  # (B, 1501, D)
        else:
            n = -(-n_ticks * N_POSITIONS // WINDOW_TICKS)
            x = F.pad(last(x, 1 + n), (0, 0, 0, N_POSITIONS - n))  # (B, 1501, D)
        x = x[:, 1:]  # (B, 1500, D)
        x = F.adaptive_avg_pool1d(x.transpose(1, 2), WINDOW_TICKS)  # (B, D, 900)
        x = x.transpose(1, 2).contiguous()  # (B, 900, D); dropout's draws depend on the layout
        x = self.head(self.dropout(x))  # (B, 900, 2)
        logits: Tensor = x.transpose(1, 2)  # (B, 2, 900)
        return logits

    def run_on(self, device: str, run: Network | None = None) -> TorchAudio:
        """Arrays in and out, as `quavf.inference.remote.AudioModel`."""
        return TorchAudio(self.to(device), device, run)

    def frozen_modules(self) -> list[nn.Module]:
        """The encoder, if it is frozen."""
        return [self.encoder] if self.config.frozen else []

    def load_pretrained(self) -> None:
        """Fill the encoder from where `encoder_weights` says."""
        load_whisper(self.encoder, self.config)


class TorchAudio(TorchRunner):
    """The audio branch in torch."""

    @torch.inference_mode()
    def logits(self, sounds: Floats) -> Floats:
        return to_array(self._logits(sounds))

    @torch.inference_mode()
    def score(self, sounds: Floats) -> Floats:
        return to_scores(self._logits(sounds))

    def _logits(self, sounds: Floats) -> Tensor:
        mel = log_mel(torch.from_numpy(sounds).to(self.device))  # (B, 80, 3000)
        logits: Tensor = (self.run or self.network)(mel)
        return logits


def log_mel(samples: Tensor) -> Tensor:
    """Whisper's log-mel spectrogram: samples (B, N <= 480000) float in [-1, 1] -> (B, 80, 3000).

    Shorter sounds are padded with silence. In float32 whatever the training's precision, so that
    training hears what prediction hears. Source: Radford et al. 2022, section 2.2.
    """
    samples = F.pad(samples.float(), (0, WINDOW_SAMPLES - samples.shape[-1]))  # (B, 480000)
    window = torch.hann_window(N_FFT, device=samples.device)
    with torch.autocast(samples.device.type, enabled=False):
        spectrum = torch.stft(samples, N_FFT, HOP, window=window, return_complex=True)
        power = spectrum[..., :-1].abs() ** 2  # (B, 201, 3000)
        mel = _mel_filters().to(power) @ power  # (B, 80, 3000)
    log = mel.clamp(min=1e-10).log10()
    log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0)
    return (log + 4.0) / 4.0


@lru_cache(maxsize=1)
def _mel_filters() -> Tensor:
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=N_FFT // 2 + 1,
        num_mel_filters=N_MELS,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters).float().T.contiguous()  # (80, 201)
