"""The study of grids beside particles holds in its small version, and its figures draw."""

from scripts import script


def test_grid_and_particles_agree(tmp_path):
    assert script("validation", "grid_vs_particles").main(["--quick", "--out", str(tmp_path)]) == 0
    figure = script("figures", "grid_vs_particles")
    assert figure.main(["--data", str(tmp_path)]) == 0
    assert {path.suffix for path in tmp_path.glob("grid_vs_particles.*")} == {".pdf", ".png"}
    differences = figure.columns(tmp_path / "joint.csv")
    assert differences["E, muscl"][-1] < 5e-5
    assert max(differences["u"][-1], differences["w"][-1]) < 4e-3


def test_moving_grids_keep_thin_ridges(tmp_path):
    assert script("validation", "thin_ridges").main(["--quick", "--out", str(tmp_path)]) == 0
    figure = script("figures", "thin_ridges")
    assert figure.main(["--data", str(tmp_path)]) == 0
    kinds = figure.draw(tmp_path).axes[0].lines[:3]
    sobol, moving, fixed = (line.get_ydata().max() for line in kinds)
    assert max(sobol, moving) < 0.01 < fixed


def test_the_animation_has_its_frames(tmp_path):
    from PIL import Image

    assert script("figures", "density_flow").main(["--quick", "--data", str(tmp_path)]) == 0
    with Image.open(tmp_path / "density_flow.gif") as film:
        assert film.n_frames == 6
