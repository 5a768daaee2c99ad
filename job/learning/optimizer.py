"""The optimizer of a training, and how its learning rate rises and falls."""

from job.learning.backend import keras, tf

MOMENTUM = 0.9


def build_optimizer(
    parameters: dict, total_steps: int, net: keras.Model, method: int
) -> keras.optimizers.Optimizer:
    """Return the optimizer of a training; in each of them weight decay is decoupled.

    Only kernels and embeddings decay; biases, and the scales and shifts of normalizations, do not.
    Those are the variables of rank 0 and 1, whatever their names, also in a custom model. By
    method 1 all variables decay.
    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; He et al. 2019,
    "Bag of Tricks for Image Classification", 3.1, "no bias decay".

    Args:
        parameters: optimizer ("adam", "adamw" or "sgd"), perhaps momentum, weight_decay,
            clip_norm, and what `learning_rate` needs.
        total_steps: of the training.
        net: whose variables it is to change.
        method: of the experiment, see METHODS in job.experiment.experiment.
    """
    arguments = {
        "learning_rate": learning_rate(parameters, total_steps),
        "weight_decay": parameters["weight_decay"] or None,
        "global_clipnorm": parameters["clip_norm"] or None,
    }
    if parameters["optimizer"] == "sgd":
        optimizer = keras.optimizers.SGD(
            momentum=parameters.get("momentum", MOMENTUM), nesterov=True, **arguments
        )
    else:
        optimizer = keras.optimizers.Adam(**arguments)
    if method >= 2:
        exempt = [v for v in net.trainable_variables if len(v.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=exempt)
    return optimizer


def learning_rate(
    parameters: dict, total_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate: a number, or a function of the step.

    Args:
        parameters: learning_rate, its highest value; schedule ("constant", "cosine" or "linear");
            warmup, the fraction of all steps in which it rises.
        total_steps: after which "cosine" and "linear" reach 0.
    """
    highest = parameters["learning_rate"]
    rising = round(parameters["warmup"] * total_steps)
    falling = max(total_steps - rising, 1)
    rate = highest
    if parameters["schedule"] == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(highest, falling)
    elif parameters["schedule"] == "linear":
        rate = keras.optimizers.schedules.PolynomialDecay(highest, falling, end_learning_rate=0.0)
    return WarmUp(highest, rising, rate) if rising else rate


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises by equal steps to its highest value, and then follows another schedule.

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", 2.2, "gradual warmup".

    Attributes:
        highest: the rate of the last rising step.
        rising: how many steps rise, at least 1.
        then: the rate of the steps after them, counted from 0.
    """

    def __init__(
        self,
        highest: float,
        rising: int,
        then: float | keras.optimizers.schedules.LearningRateSchedule,
    ):
        self.highest = highest
        self.rising = rising
        self.then = then

    def __call__(self, step):
        """Return the rate of a step, float32."""
        step = tf.cast(step, tf.float32)
        later = self.then(step - self.rising) if callable(self.then) else self.then
        return tf.where(step < self.rising, self.highest * (step + 1) / self.rising, later)
