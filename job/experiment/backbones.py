"""The frozen bases: networks of keras.applications by name. One table, without TensorFlow.

File names, folders and hashes are those of Keras 3.15's sources (keras/src/applications). EfficientNet's first version is not
here: Keras puts a layer into it with weights="imagenet" only, so that its file does not fit the same net built without.
"""

from dataclasses import dataclass

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"


@dataclass(frozen=True)
class Backbone:
    """One network: how Keras calls it, what it wants to see, and the file of its ImageNet weights without the top."""

    constructor: str  # in keras.applications
    module: str  # of keras.applications, with its preprocess_input
    pixels: str  # what it wants: "tf" -1 to 1, "caffe" BGR less the mean, "torch" normalised by channel, "raw" 0-255
    file: str  # in Keras' cache; {alpha} is the model's own
    hash: str | None = None  # md5 or sha256, as Keras checks it; None where it checks none
    folder: str | None = None  # below BASE_URL; None: named like the module
    remote: str | None = None  # the file's name there, where it is another one
    least: int = 32  # side of the smallest image, in pixels


BACKBONES = {
    "mobilenetv2": Backbone(
        "MobileNetV2",
        "mobilenet_v2",
        "tf",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5",
    ),
    "vgg16": Backbone(
        "VGG16", "vgg16", "caffe", f"vgg16{KERNELS}", "6d6bbae143d832006294945121d1f1fc"
    ),
    "convnexttiny": Backbone(
        "ConvNeXtTiny",
        "convnext",
        "raw",
        "convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "densenet121": Backbone(
        "DenseNet121",
        "densenet",
        "torch",
        f"densenet121{KERNELS}",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    "densenet169": Backbone(
        "DenseNet169",
        "densenet",
        "torch",
        f"densenet169{KERNELS}",
        "b8c4d4c20dd625c148057b9ff1c1176b",
    ),
    "efficientnetv2b0": Backbone(
        "EfficientNetV2B0",
        "efficientnet_v2",
        "raw",
        "efficientnetv2-b0_notop.h5",
        "893217f2bb855e2983157299931e43ff",
    ),
    "efficientnetv2b3": Backbone(
        "EfficientNetV2B3",
        "efficientnet_v2",
        "raw",
        "efficientnetv2-b3_notop.h5",
        "f6abf7b5849ac99a89b50dd3fd532856",
    ),
    "efficientnetv2s": Backbone(
        "EfficientNetV2S",
        "efficientnet_v2",
        "raw",
        "efficientnetv2-s_notop.h5",
        "af0682fb74e8c54910f2d4393339c070",
    ),
    "inceptionv3": Backbone(
        "InceptionV3",
        "inception_v3",
        "tf",
        f"inception_v3{KERNELS}",
        "bcbd6486424b2319ff4ef7d526e38f63",
        least=75,
    ),
    "mobilenet": Backbone("MobileNet", "mobilenet", "tf", "mobilenet_1_0_224_tf_no_top.h5"),
    "mobilenetv3large": Backbone(
        "MobileNetV3Large",
        "mobilenet_v3",
        "raw",
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389",
    ),
    "mobilenetv3small": Backbone(
        "MobileNetV3Small",
        "mobilenet_v3",
        "raw",
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    "nasnetmobile": Backbone(
        "NASNetMobile",
        "nasnet",
        "tf",
        "nasnet_mobile_no_top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
        remote="NASNet-mobile-no-top.h5",
    ),
    "resnet50": Backbone(
        "ResNet50", "resnet", "caffe", f"resnet50{KERNELS}", "4d473c1dd8becc155b73f8504c6f6626"
    ),
    "resnet50v2": Backbone(
        "ResNet50V2",
        "resnet_v2",
        "tf",
        f"resnet50v2{KERNELS}",
        "fac2f116257151a9d068a22e544a4917",
        folder="resnet",
    ),
    "resnet101": Backbone(
        "ResNet101", "resnet", "caffe", f"resnet101{KERNELS}", "88cf7a10940856eca736dc7b7e228a21"
    ),
    "vgg19": Backbone(
        "VGG19", "vgg19", "caffe", f"vgg19{KERNELS}", "253f8cb515780f3b799900260a226db6"
    ),
    "xception": Backbone(
        "Xception",
        "xception",
        "tf",
        f"xception{KERNELS}",
        "b0042744bf5b25fce3cb969f33bebb97",
        least=71,
    ),
}
