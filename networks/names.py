"""Names of the pretrained networks.  No torch here, because configuration and captions need them too."""

from __future__ import annotations

DINOV2 = {"dinov2vits14": 384, "dinov2vitb14": 768, "dinov2vitl14": 1024}
# name, as in networks/weights.yaml -> dimensions
FEATURE_NETWORKS = {"inception": 2048, "vgg16fc2": 4096, **DINOV2}
NETWORK_TITLES = {
    "inception": "Inception",
    "vgg16fc2": "VGG16 (second fully connected layer)",
    "dinov2vits14": "DINOv2 ViT-S/14",
    "dinov2vitb14": "DINOv2 ViT-B/14",
    "dinov2vitl14": "DINOv2 ViT-L/14",
    "alex": "AlexNet",
    "vgg": "VGG16",
}
