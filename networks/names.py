"""Names of the pretrained networks.  No torch here, because configuration and captions need them too."""

from __future__ import annotations

FEATURE_NETWORKS = {"inception": 2048, "vgg16fc2": 4096}  # name, as in networks/weights.yaml -> dimensions
NETWORK_TITLES = {
    "inception": "Inception",
    "vgg16fc2": "VGG16 (second fully connected layer)",
    "alex": "AlexNet",
    "vgg": "VGG16",
}
