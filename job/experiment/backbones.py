# pyright: strict
"""The frozen bases: networks of keras.applications by name. One table, without TensorFlow.

File names, folders and hashes are those of the Keras 3.15 sources (keras/src/applications).
The first EfficientNet is missing on purpose: Keras adds a layer to it only with
weights="imagenet", so its file does not fit the same network built without them.
"""

from dataclasses import dataclass, replace

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"
V3_KERNELS = "224_1.0_float_no_top_v2.h5"


@dataclass(frozen=True)
class Backbone:
    """One network: its names in Keras, its input, and the file of its ImageNet weights.

    The weights leave out the top, which is the classifier of ImageNet's own classes.
    """

    # In keras.applications.
    constructor: str
    # Of keras.applications, with its preprocess_input.
    module: str
    # Expected pixels: "tf" -1 to 1, "caffe" BGR minus the mean, "torch" normalized per channel,
    # "raw" 0 to 255.
    pixels: str
    # In the cache of Keras; {alpha} is the model's own.
    file: str
    # md5 or sha256, as Keras checks it; None where Keras checks none.
    hash: str | None = None
    # Below BASE_URL; None: named like the module.
    folder: str | None = None
    # The file's name at that URL, where it differs.
    remote: str | None = None
    # Side of the smallest image, in pixels.
    least: int = 32
    # Layers before the end whose means may be features, too; `depths` counts from the end.
    earlier: tuple[str, ...] = ()


HASHES = {
    "vgg16": "6d6bbae143d832006294945121d1f1fc",
    "convnexttiny": "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    "densenet121": "30ee3e1110167f948a6b9946edeeb738",
    "densenet169": "b8c4d4c20dd625c148057b9ff1c1176b",
    "efficientnetv2b0": "893217f2bb855e2983157299931e43ff",
    "efficientnetv2b3": "f6abf7b5849ac99a89b50dd3fd532856",
    "efficientnetv2s": "af0682fb74e8c54910f2d4393339c070",
    "inceptionv3": "bcbd6486424b2319ff4ef7d526e38f63",
    "mobilenetv3large": "07fb09a5933dd0c8eaafa16978110389",
    "mobilenetv3small": "d3e8ec802a04aa4fc771ee12a9a9b836",
    "nasnetmobile": "1ed92395b5b598bdda52abe5c0dbfd63",
    "resnet50": "4d473c1dd8becc155b73f8504c6f6626",
    "resnet50v2": "fac2f116257151a9d068a22e544a4917",
    "resnet101": "88cf7a10940856eca736dc7b7e228a21",
    "vgg19": "253f8cb515780f3b799900260a226db6",
    "xception": "b0042744bf5b25fce3cb969f33bebb97",
}
NETWORKS = {
    "mobilenetv2": Backbone(
        "MobileNetV2",
        "mobilenet_v2",
        "tf",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5",
    ),
    "vgg16": Backbone("VGG16", "vgg16", "caffe", f"vgg16{KERNELS}"),
    "convnexttiny": Backbone("ConvNeXtTiny", "convnext", "raw", "convnext_tiny_notop.h5"),
    "densenet121": Backbone("DenseNet121", "densenet", "torch", f"densenet121{KERNELS}"),
    "densenet169": Backbone("DenseNet169", "densenet", "torch", f"densenet169{KERNELS}"),
    "efficientnetv2b0": Backbone(
        "EfficientNetV2B0", "efficientnet_v2", "raw", "efficientnetv2-b0_notop.h5"
    ),
    "efficientnetv2b3": Backbone(
        "EfficientNetV2B3", "efficientnet_v2", "raw", "efficientnetv2-b3_notop.h5"
    ),
    "efficientnetv2s": Backbone(
        "EfficientNetV2S", "efficientnet_v2", "raw", "efficientnetv2-s_notop.h5"
    ),
    "inceptionv3": Backbone(
        "InceptionV3", "inception_v3", "tf", f"inception_v3{KERNELS}", least=75
    ),
    "mobilenet": Backbone("MobileNet", "mobilenet", "tf", "mobilenet_1_0_224_tf_no_top.h5"),
    "mobilenetv3large": Backbone(
        "MobileNetV3Large", "mobilenet_v3", "raw", f"weights_mobilenet_v3_large_{V3_KERNELS}"
    ),
    "mobilenetv3small": Backbone(
        "MobileNetV3Small", "mobilenet_v3", "raw", f"weights_mobilenet_v3_small_{V3_KERNELS}"
    ),
    "nasnetmobile": Backbone(
        "NASNetMobile",
        "nasnet",
        "tf",
        "nasnet_mobile_no_top.h5",
        remote="NASNet-mobile-no-top.h5",
    ),
    "resnet50": Backbone("ResNet50", "resnet", "caffe", f"resnet50{KERNELS}"),
    "resnet50v2": Backbone(
        "ResNet50V2", "resnet_v2", "tf", f"resnet50v2{KERNELS}", folder="resnet"
    ),
    "resnet101": Backbone("ResNet101", "resnet", "caffe", f"resnet101{KERNELS}"),
    "vgg19": Backbone("VGG19", "vgg19", "caffe", f"vgg19{KERNELS}"),
    "xception": Backbone("Xception", "xception", "tf", f"xception{KERNELS}", least=71),
}
# Where a stage ends, or the next layer that has a name of its own.
EARLIER = {
    "mobilenetv2": ("block_5_add", "block_9_add", "block_12_add", "block_15_add"),
    "vgg16": ("block1_pool", "block2_pool", "block3_pool", "block4_pool"),
    "convnexttiny": tuple(f"convnext_tiny_downsampling_block_{i}" for i in range(3)),
    "densenet121": ("pool2_pool", "pool3_pool", "pool4_pool"),
    "densenet169": ("pool2_pool", "pool3_pool", "pool4_pool"),
    "efficientnetv2b0": ("block2b_add", "block3b_add", "block4c_add", "block5e_add"),
    "efficientnetv2b3": ("block2c_add", "block3c_add", "block4e_add", "block5g_add"),
    "efficientnetv2s": ("block2d_add", "block3d_add", "block4f_add", "block5i_add"),
    "inceptionv3": ("mixed2", "mixed4", "mixed7", "mixed9"),
    "mobilenet": tuple(f"conv_pw_{i}_relu" for i in (3, 5, 11, 12)),
    "mobilenetv3large": tuple(f"expanded_conv_{i}_add" for i in (5, 9, 11, 14)),
    "mobilenetv3small": tuple(f"expanded_conv_{i}_add" for i in (2, 5, 7, 10)),
    "nasnetmobile": (
        "normal_concat_3",
        "reduction_concat_reduce_4",
        "normal_concat_8",
        "reduction_concat_reduce_8",
    ),
    "resnet50": ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block2_out"),
    "resnet50v2": ("conv2_block2_out", "conv3_block3_out", "conv4_block5_out", "conv5_block2_out"),
    "resnet101": ("conv2_block3_out", "conv3_block4_out", "conv4_block23_out", "conv5_block2_out"),
    "vgg19": ("block1_pool", "block2_pool", "block3_pool", "block4_pool"),
    "xception": tuple(f"block{i}_sepconv1_act" for i in (4, 5, 13, 14)),
}
BACKBONES = {
    name: replace(network, hash=HASHES.get(name), earlier=EARLIER[name])
    for name, network in NETWORKS.items()
}
# What `depths` is by default, where it is not 1 (docs/measured/defaults.md).
DEPTHS = {"mobilenetv2": 5, "vgg16": 5}
