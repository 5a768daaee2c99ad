"""The optimizer of a training, and how its learning rate rises and falls."""

from job.learning.backend import keras, tf
from job.learning.kernels import leaves
from job.learning.models.transfer import base_variables

MOMENTUM = 0.9  # of SGD
MUON_MOMENTUM = 0.95


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
        parameters: optimizer ("adam", "adamw", "sgd" or "muon"), perhaps momentum, weight_decay,
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
    elif parameters["optimizer"] == "muon":
        optimizer = Muon(net, parameters.get("momentum", MUON_MOMENTUM), **arguments)
    else:
        optimizer = keras.optimizers.Adam(**arguments)
    if method >= 2:
        exempt = [v for v in net.trainable_variables if len(v.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=exempt)
    return optimizer


def apply(
    optimizer: keras.optimizers.Optimizer, gradients: list, net: keras.Model, base_rate: float
) -> None:
    """Change the trainable variables of a net, within the graph.

    Args:
        optimizer: built for the net.
        gradients: of its trainable variables, in order.
        net: the net; of a base and a head, if `base_rate` is not 1.
        base_rate: the fraction of its change that each variable of the base keeps.
    """
    slower = base_variables(net) if base_rate != 1 else []
    before = [tf.identity(v.value) for v in slower]
    optimizer.apply(gradients, net.trainable_variables)
    for variable, value in zip(slower, before, strict=True):
        variable.assign(value + base_rate * (variable.value - value))


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


class Muon(keras.optimizers.Muon):
    """Muon for kernels of any rank from 2 on, flattened to matrices; Adam for all other variables.

    Keras' own takes matrices only, which a convolutional net does not have. The output layer gets
    Adam, too. The updates have the size of Adam's, so the same learning rates suit both.
    Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et
    al. 2025, "Muon is Scalable for LLM Training", 2.2, for the size of the updates.
    """

    def __init__(self, net: keras.Model, momentum: float, weight_decay: float | None, **arguments):
        decay = weight_decay or 0.0
        super().__init__(
            momentum=momentum, weight_decay=decay, adam_weight_decay=decay, **arguments
        )
        *_, last = leaves(net)
        self._of_the_output = {id(v) for v in last.trainable_variables}

    def _should_use_adamw(self, variable) -> bool:
        return len(variable.shape) < 2 or id(variable) in self._of_the_output

    def _muon_update_step(self, gradient, variable, lr, m) -> None:
        self.assign_add(m, gradient + m * (self.momentum - 1))
        ahead = gradient + self.momentum * m
        matrix = tf.reshape(ahead, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, tf.reshape(update, variable.shape))


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
