"""Learning curves of features that are given: structured weights, trained weights, data.

Run from top to bottom::

    python derivations/deep_features/given_features.py            # everything, a few minutes
    python derivations/deep_features/given_features.py --quick    # the same steps, under a minute

1. First figure of arXiv:2402.13999: three tanh layers that share weights with each other and with
   the target, rows of the third with a covariance made from the first; table and figure.
2. Finite networks of that kind, judged against the theory for the same weights.
3. Second figure: a three-layer network is trained; the readout of its features is predicted from
   its weights, linearised and with two more Hermite orders, and from samples; then measured.
4. Images of digits, where scikit-learn is installed: random and trained features, predicted from
   all samples and measured on parts of them.

Results go to ``out`` beside this file. What was found, in words, is in GIVEN_FEATURES.md.
"""

import argparse
import importlib.util
from importlib import import_module
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from derive.activation import Activation
from numeric.compare import Comparison, compare
from numeric.experiments.data_readout import subsample
from numeric.experiments.given_networks import Pair, Rainbow, Same, simulate_networks
from numeric.experiments.sampling import generator
from numeric.experiments.training import Trained, fresh, rows, train
from numeric.population import of_networks, population, predict_learning_curve
from numeric.populations.networks import network
from numeric.report import figure_bytes, write_all

Array = NDArray[np.float64]
OUT = Path(__file__).parent / "out"
ALPHA = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0])
DECAYS = (0.0, 0.2, 0.5, 0.8)
RIDGES = np.array([0.01, 0.1, 1.0, 10.0])
TANH = Activation("tanh")


# --- 1. the first figure --------------------------------------------------------------------------


def rainbow_curves(d: int, draws: int, alpha: Array = ALPHA) -> dict[float, Array]:
    """Test errors at ridge 1e-4 without noise, averaged over draws of the weights, by decay."""
    out = {}
    for decay in DECAYS:
        curves = []
        for seed in range(draws):
            pair = Rainbow(decay)(d, np.random.default_rng(seed))
            curve = of_networks(pair.learner, pair.target).ridge(n=alpha * d, lam=1e-4)
            curves.append(curve.check().E_test)
        out[decay] = np.mean(curves, axis=0)
    return out


def table(curves: dict[float, Array]) -> str:
    """The curves as Markdown, one row per decay."""
    lines = ["| gamma | " + " | ".join(f"alpha = {a:g}" for a in ALPHA) + " |"]
    lines.append("| --- " * (len(ALPHA) + 1) + "|")
    for decay, values in curves.items():
        lines.append(f"| {decay:g} | " + " | ".join(f"{v:.3f}" for v in values) + " |")
    return "\n".join(lines)


# --- 2. finite networks of that kind --------------------------------------------------------------


def finite_size(sizes: tuple[int, ...], trials: int) -> Comparison:
    """Measured over predicted for the same weights: one everywhere, if the theory holds."""
    found = simulate_networks(
        Rainbow(0.5), alpha=(0.5, 1.0, 2.0), lam=[0.1], noise=0.1, d=sizes, trials=trials
    )
    ones = {name: np.ones(found.points) for name in ("m", "E_test", "E_train")}
    return compare(ones, found)


# --- 3. a trained network -------------------------------------------------------------------------


def trained_pair(d: int, steps: int) -> tuple[Trained, Pair]:
    """Three tanh layers trained on a random tanh teacher with as many units."""
    rng = np.random.default_rng(3)
    target = network([rng.standard_normal((d, d)) / np.sqrt(d)], "tanh")
    theta = rng.standard_normal(d)
    found = train(fresh(target, theta, 0.0, 512), (d, d, d, d), TANH, steps=steps)
    return found, Pair(found.network, target, theta)


def trained_table(d: int, steps: int, trials: int) -> str:
    """Predictions over measurements, for the network before and after training."""
    found, after = trained_pair(d, steps)
    alpha, lam, noise = (0.5, 1.0, 2.0), [0.1, 1.0], 0.05
    lines = [
        f"d = {d}, {steps} steps, weights moved by {', '.join(f'{m:.2f}' for m in found.moved)}"
    ]
    lines[0] += f"; loss {found.losses[:5].mean():.3f} -> {found.losses[-10:].mean():.3f}"
    for name, pair in (
        ("before", Pair(found.initial, after.target, after.theta)),
        ("after", after),
    ):
        measured = simulate_networks(
            Same(pair), alpha=alpha, lam=lam, noise=noise, d=d, trials=trials, order=3
        )
        n, base = np.array(alpha)[:, None] * d, predicted(pair, 3)
        third = base.ridge(n=n, lam=lam, noise=noise).E_test
        truth = measured.mean("E_test")[0] * third
        first = predicted(pair, 1).ridge(n=n, lam=lam, noise=noise).E_test
        samples = sampled(pair, noise, 40 * d).ridge(n=n, lam=lam).E_test
        error = float((measured.stderr("E_test")[0]).max())
        lines.append(f"{name} training, measured to {error:.2%}; predicted over measured:")
        for label, curve in (("order 1", first), ("order 3", third), ("samples", samples)):
            lines.append(f"  {label}  " + "  ".join(f"{v:.3f}" for v in (curve / truth).ravel()))
    return "\n".join(lines)


def predicted(pair: Pair, order: int):
    """The population of a pair's weights."""
    return population(weights=pair.learner, target=pair.target, theta=pair.theta, order=order)


def sampled(pair: Pair, noise: float, count: int):
    """The population of samples of the same features and labels."""
    rng = generator(1, pair.d, count)
    x = rng.standard_normal((pair.d, count))
    y = pair.theta @ pair.target.features(x) / np.sqrt(pair.target.weights[-1].shape[0])
    y = y + np.sqrt(noise) * rng.standard_normal(count)
    return population(features=pair.learner.features(x).T, labels=y)


# --- 4. digits ------------------------------------------------------------------------------------


def digits_table(sizes: tuple[int, ...], trials: int, steps: int) -> str:
    """Measured over predicted test error, with the error bar of the prediction, by feature map."""
    if importlib.util.find_spec("sklearn") is None:
        return "scikit-learn is not installed: no digits"
    images = import_module("sklearn.datasets").load_digits()
    pixels, labels = images.data / 16, np.where(images.target % 2, 1.0, -1.0)
    pixels = pixels - pixels.mean(axis=0)
    random = np.tanh(pixels @ (3 * np.random.default_rng(0).standard_normal((64, 300)) / 8))
    trained = train(rows(pixels[:600], labels[:600], 128), (64, 100, 100, 100), TANH, steps=steps)
    after = trained.network.features(pixels[600:].T).T
    lines = [f"columns: ridges {', '.join(f'{r:g}' for r in RIDGES)}"]
    for name, x, y in (("random", random, labels), ("trained", after, labels[600:])):
        used = [n for n in sizes if n < 0.8 * len(y)]
        curve = predict_learning_curve(x, y, RIDGES, np.array(used))
        found = subsample(x, y, RIDGES, used, trials=trials)
        verdict = compare(curve, found, ("E_test",), allowance=0.0).verdict
        lines.append(f"{name} features, p = {x.shape[1]}, {len(y)} samples: {verdict}")
        for i, n in enumerate(used):
            ratio = found.mean("E_test")[0, i] / curve.E_test[i]
            bar = curve.error["E_test"][i] / curve.E_test[i]
            cells = (f"{r:.3f} +/- {b:.3f}" for r, b in zip(ratio, bar, strict=True))
            lines.append(f"  n = {n:5d}  " + "  ".join(cells))
    return "\n".join(lines)


# --- all ------------------------------------------------------------------------------------------


def figure(d: int, draws: int) -> Figure:
    """The first figure: test error against alpha, one line per decay."""
    alpha = np.geomspace(0.1, 2, 40)
    drawn = Figure(figsize=(5, 4), layout="constrained")
    axes = drawn.subplots()
    for decay, values in rainbow_curves(d, draws, alpha).items():
        axes.plot(alpha, values, label=rf"$\gamma = {decay:g}$")
    axes.set_xlabel(r"$\alpha = n/d$")
    axes.set_ylabel(r"$E_{\mathrm{test}}$")
    axes.legend(frameon=False)
    return drawn


def main() -> None:
    """Work through all stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under a minute")
    quick = parser.parse_args().quick
    print("1. first figure of arXiv:2402.13999", flush=True)
    first = table(rainbow_curves(100 if quick else 1000, 2))
    drawn = figure(60 if quick else 400, 1 if quick else 2)
    print(first, "\n2. finite networks", flush=True)
    judged = finite_size((30, 60) if quick else (60, 120, 240), 6 if quick else 40)
    print(judged, "\n3. a trained network", flush=True)
    trained = trained_table(*((60, 60, 10) if quick else (160, 170, 100)))
    print(trained, "\n4. digits", flush=True)
    digits = digits_table((50, 400) if quick else (50, 100, 200, 400, 800, 1200), 6, 150)
    print(digits)
    texts = {"rainbow": first, "finite": judged.table(), "trained": trained, "digits": digits}
    contents = {k: (f"given_{k}.txt", f"{v}\n".encode()) for k, v in texts.items()}
    contents["pdf"] = ("given_figure1.pdf", figure_bytes(drawn, "pdf"))
    written = write_all(OUT, contents)
    print("written: " + ", ".join(str(path) for path in written.values()))


if __name__ == "__main__":
    main()
