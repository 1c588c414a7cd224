"""SGD is torch's to the bit, and does without torch's compiler."""

import subprocess
import sys

import torch
from torch import nn

from stp.training.sgd import SGD

STEPS = """
import sys, torch
from stp.training.sgd import SGD
weight = torch.nn.Parameter(torch.ones(3))
optimiser = SGD([weight], 0.1, momentum=0.9)
schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [1])
for _ in range(2):
    optimiser.zero_grad(set_to_none=True)
    weight.square().sum().backward()
    torch.nn.utils.clip_grad_norm_([weight], 20)
    optimiser.step()
    schedule.step()
optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""


def trained(kind: type[torch.optim.SGD]) -> tuple[list[torch.Tensor], dict[str, object]]:
    torch.manual_seed(0)
    first, second = nn.Linear(5, 4), nn.Linear(4, 3)
    network = nn.Sequential(first, nn.ReLU(), second)
    groups = [
        {"params": [first.weight, second.weight], "weight_decay": 0.01},
        {"params": [first.bias, second.bias], "lr": 0.2},
    ]
    optimiser = kind(groups, lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [3], gamma=0.1)
    for _ in range(6):
        optimiser.zero_grad(set_to_none=True)
        network(torch.randn(7, 5)).square().sum().backward()
        optimiser.step()
        schedule.step()
    return [parameter.detach() for parameter in network.parameters()], optimiser.state_dict()


def test_steps_are_torchs_to_the_bit() -> None:
    (own, state), (torchs, expected) = trained(SGD), trained(torch.optim.SGD)
    assert all(torch.equal(*pair) for pair in zip(own, torchs, strict=True))
    assert state["param_groups"] == expected["param_groups"]
    assert state["state"].keys() == expected["state"].keys()  # type: ignore[attr-defined]


def test_the_compiler_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
