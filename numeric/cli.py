"""The command ``derive``: reads words, calls the rooms, prints tables. It computes nothing itself.

Exit codes: 0 when the verdict is not "disagree", 1 when it is, 2 for input that cannot be used
(one line on standard error), 130 when interrupted.
"""

import shlex
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from derive.errors import DeriveError, RangeError


def reported(function: Callable[..., int]) -> Callable[..., None]:
    """Turn a ``DeriveError`` into one line on standard error and exit code 2."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            code = function(*args, **kwargs)
        except DeriveError as error:
            click.echo(f"derive: {error}", err=True)
            code = 2
        except KeyboardInterrupt:
            click.echo("derive: interrupted; nothing was written", err=True)
            code = 130
        sys.exit(code)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stieltjes", prog_name="derive")
def main() -> None:
    """Derive, compile, certify and simulate learning problems in high dimension."""


@main.command()
@click.option("--out", default="demo_out", show_default=True, help="Folder for the results.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the experiment.",
)
@reported
def demo(out: str, seed: int) -> int:
    """Mish, its mean removed at each layer, depth 2: from the activation to a checked curve."""
    from numeric.curve import Experiment, parse_grid  # noqa: PLC0415  (help must be instant)

    return _curve(
        "z*tanh(log(1+exp(z)))",
        {"alpha": parse_grid("0.1:10:200"), "gamma": (2.0, 1.2), "lam": 1e-2, "noise": 0.1},
        experiment=Experiment((100, 200), 20, 5, seed),
        out=out,
        centre=True,
        target="linear",
    )


@main.command()
@click.argument("expr")
@click.option("--gamma", required=True, help="Widths k_l/d, one per layer: 2,1.2.")
@click.option("--lam", default="1e-2", show_default=True, help="Ridge, >= 0.")
@click.option("--noise", default="0.1", show_default=True, help="Variance of the label noise.")
@click.option(
    "--alpha", default="0.1:10:200", show_default=True, help="Samples n/d: low:high:count or list."
)
@click.option("--target", default="linear", show_default=True, help="linear, or an activation.")
@click.option("--centre", is_flag=True, help="Remove the mean of the activation at each layer.")
@click.option("--simulate", default="", help="Experiment: d,trials (sizes d/2 and d).")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the experiment.",
)
@click.option(
    "--references",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Points checked at 30 digits.",
)
@click.option("--out", default="", help="Folder for figure, equations, curve and manifest.")
@reported
def curve(  # noqa: PLR0913, PLR0917  (one argument per option)
    expr: str,
    gamma: str,
    lam: str,
    noise: str,
    alpha: str,
    target: str,
    centre: bool,
    simulate: str,
    seed: int,
    references: int,
    out: str,
) -> int:
    """Learning curve of a deep random network with activation EXPR (layers separated by ";")."""
    from numeric.curve import parse_grid, read_number  # noqa: PLC0415

    controls = {
        "alpha": parse_grid(alpha),
        "gamma": tuple(read_number(g, "gamma") for g in gamma.split(",")),
        "lam": read_number(lam, "lam"),
        "noise": read_number(noise, "noise"),
    }
    return _curve(
        expr,
        controls,
        experiment=_experiment(simulate, seed),
        out=out,
        centre=centre,
        target=target,
        references=references,
    )


def _experiment(text: str, seed: int) -> Any:
    from numeric.curve import Experiment, sizes  # noqa: PLC0415

    if not text:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(p.strip().isdigit() for p in parts):
        raise RangeError(f"--simulate {text}", "not d,trials", "write it like 200,20")
    d, trials = (int(p) for p in parts)
    if trials < 3:
        raise RangeError(f"--simulate {text}", f"{trials} trials", "give 3 trials or more")
    return Experiment(sizes(d), trials, seed=seed)


def _curve(
    expr: str,
    controls: dict[str, Any],
    *,
    experiment: Any,
    out: str,
    centre: bool,
    target: str,
    references: int = 5,
) -> int:
    from derive.theory.deep_features import deep_features  # noqa: PLC0415
    from numeric.curve import run_curve  # noqa: PLC0415
    from numeric.terminal import curve_text  # noqa: PLC0415

    if out:
        from numeric.report import check_folder  # noqa: PLC0415

        check_folder(out)
    depth = len(controls["gamma"])
    layers = [part.strip() for part in expr.split(";")]
    model = deep_features(layers * depth if len(layers) == 1 else layers, target, centre=centre)
    run = run_curve(model, controls, references=references, experiment=experiment)
    click.echo(curve_text(run))
    if out:
        from numeric.report import report  # noqa: PLC0415  (matplotlib only when drawing)

        notes = run.notes() | {"command": shlex.join(["derive", *sys.argv[1:]])}
        written = report(
            out, model, run.solution, run.simulation, comparison=run.comparison, notes=notes
        )
        click.echo("written: " + ", ".join(str(p) for p in written.values()))
    return 1 if run.verdict == "disagree" else 0


@main.command()
@click.argument("expr")
@click.option("--digits", default=20, show_default=True, help="Digits of each number.")
@click.option("--variance", default="1", show_default=True, help="Variance r of the argument.")
@click.option("--kernel", is_flag=True, help="The kernel E[s(u)s(v)] of two correlated normals.")
@click.option("--depth", default=1, show_default=True, help="Constants of so many layers.")
@click.option("--latex", "as_latex", is_flag=True, help="Print LaTeX as well.")
@click.option("--out", default="", help="Folder for a figure of function, kernel and spectrum.")
@reported
def activation(
    expr: str, digits: int, variance: str, kernel: bool, depth: int, as_latex: bool, out: str
) -> int:
    """Gaussian constants of the activation EXPR: closed forms, or certified digits."""
    from derive.activation import Activation  # noqa: PLC0415
    from numeric.terminal import activation_text, depth_text, kernel_text  # noqa: PLC0415

    if not 1 <= digits <= 1000:
        raise RangeError(f"--digits {digits}", "outside 1 to 1000", "choose a number between")
    if not 1 <= depth <= 100:
        raise RangeError(f"--depth {depth}", "outside 1 to 100", "choose a number between")
    if out:
        from numeric.report import check_folder  # noqa: PLC0415

        check_folder(out)
    typed = Activation(expr)
    parts = [activation_text(typed, variance, digits, as_latex)]
    if kernel:
        parts.append(kernel_text(typed, variance, digits, as_latex))
    if depth > 1:
        parts.append(depth_text(typed, variance, depth, digits))
    click.echo("\n\n".join(parts))
    if out:
        from numeric.kernel_plots import activation_figure  # noqa: PLC0415
        from numeric.report import figure_bytes, write_all  # noqa: PLC0415

        figure = activation_figure(typed, variance)
        kinds = {k: (f"activation.{k}", figure_bytes(figure, k)) for k in ("pdf", "png")}
        click.echo("written: " + ", ".join(str(p) for p in write_all(out, kinds).values()))
    return 0


@main.command()
@click.argument("expr")
@click.option("--params", required=True, help="Parameters, in order: a1,w1,b1.")
@click.option("--inputs", required=True, help="Inputs: x or x1,x2.")
@click.option("--at", default="", help="Values: w1=1/2,b1=sqrt(2); others are generic.")
@click.option(
    "--method", type=click.Choice(["auto", "field", "balls"]), default="auto", show_default=True
)
@click.option("--regions", is_flag=True, help="Sample the regions of a family with kinks (ReLU).")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@reported
def rank(
    expr: str, params: str, inputs: str, at: str, method: str, regions: bool, seed: int
) -> int:
    """Certified rank of the tangent functions of the family EXPR, with proved relations."""
    from derive.model_rank import model_rank  # noqa: PLC0415  (help must be instant)
    from derive.piecewise_rank import piecewise_rank  # noqa: PLC0415
    from derive.tangent_rank.family import names_of  # noqa: PLC0415
    from numeric.rank_text import rank_text, read_point, regions_text  # noqa: PLC0415

    point = read_point(at, [str(n) for n in names_of(params)])
    if regions:
        click.echo(regions_text(piecewise_rank(expr, params, inputs, point, seed=seed)))
        return 0
    click.echo(rank_text(model_rank(expr, params, inputs, point, method=method, seed=seed)))
    return 0


@main.command()
@click.argument("file")
@click.option("--lam", default="0.01,0.1,1,10", show_default=True, help="Ridges: grid or list.")
@click.option("--sizes", default="", help="Training sizes: low:high:count or list.")
@click.option("--no-intercept", is_flag=True, help="Fit no intercept, centre nothing.")
@click.option(
    "--measure",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Random parts of the data per size on which to measure the curve (2 or more).",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the parts.")
@reported
def predict(file: str, lam: str, sizes: str, no_intercept: bool, measure: int, seed: int) -> int:
    """Learning curve of ridge regression from the arrays X and y of the archive FILE (np.savez)."""
    from numeric.curve import parse_grid  # noqa: PLC0415
    from numeric.data_curve import data_curve  # noqa: PLC0415

    if measure == 1:
        raise RangeError("--measure 1", "no spread from one part", "give 2 or more")
    found = data_curve(
        file,
        parse_grid(lam),
        parse_grid(sizes) if sizes else None,
        intercept=not no_intercept,
        measure=measure,
        seed=seed,
    )
    click.echo(found.table())
    return 1 if found.comparison is not None and not found.comparison.agree else 0


@main.command()
@click.option("--clear", is_flag=True, help="Remove all compiled kernels.")
@reported
def doctor(clear: bool) -> int:
    """Versions, processor, threads and the cache of compiled kernels."""
    from numeric import doctor as room  # noqa: PLC0415

    if clear:
        click.echo(f"{room.clear()} compiled kernels removed")
    click.echo(room.report())
    return 0


if __name__ == "__main__":
    main()
