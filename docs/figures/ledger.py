"""Draw the figures of docs/how-the-ledger-works.md: `.venv/bin/python -m docs.figures.ledger`.

The arrows between states of an image are those of shared/states.py, or this program ends; times are the defaults.
"""

from docs.figures.svg import Figure
from shared.config import Settings
from shared.states import TRANSITIONS, ImageState

Q, R, S, F, C = ImageState
#: Left upper corners.
IMAGES = {Q: (20, 100), R: (230, 100), F: (450, 30), S: (450, 100), C: (450, 170)}
#: How each step that is ever taken is drawn.
STEPS = {
    (Q, R): "M150 114H230",
    (R, Q): "M230 136H150",
    (R, F): "M330 100L450 62",
    (R, S): "M360 125H450",
    (R, C): "M330 150L450 188",
    (F, Q): "M515 30V24Q515 14 505 14H95Q85 14 85 24V100",
    (Q, C): "M85 150V196Q85 206 95 206H450",
}


def main() -> None:
    """All three."""
    chunk()
    image()
    death(Settings())


def state(figure: Figure, at: tuple[float, float], name: str, *, final: bool = False) -> None:
    """A state, 130 by 50."""
    figure.rect(*at, 130, 50, "final" if final else "node", radius=12)
    figure.text(at[0] + 65, at[1] + 31, name, "bold", anchor="middle")


def chunk() -> None:
    """What a chunk goes through."""
    figure = Figure(600, 350, "States of a chunk: pending, sent, leased, done; and the ways back to pending")
    for name, at in {"pending": (20, 120), "sent": (235, 120), "leased": (450, 120), "split": (235, 270)}.items():
        state(figure, at, name)
    state(figure, (450, 270), "done", final=True)
    state(figure, (20, 270), "cancelled", final=True)
    figure.way("M150 136H235")
    figure.text(192, 112, "refill", "small", anchor="middle")
    figure.way("M365 136H450")
    figure.text(407, 112, "claim", "small", anchor="middle")
    figure.way("M515 170V270")
    figure.text(525, 226, "commit", "small")
    figure.way("M85 170V270")
    figure.text(95, 226, "cancel", "small")
    figure.way("M515 120V80Q515 50 485 50H85Q55 50 55 80V120", back=True)
    figure.text(285, 40, "lease ran out, or handed back", "small bad", anchor="middle")
    figure.way("M235 156H150", back=True)
    figure.text(192, 176, "lost", "small bad", anchor="middle")
    figure.way("M480 170L352 270", back=True)
    figure.text(408, 216, "charged twice", "small bad", anchor="end")
    figure.way("M235 295H182Q172 295 172 285V206Q172 196 162 196H140Q130 196 130 186V170", back=True)
    figure.text(182, 256, "one by one", "small bad")
    figure.save("ledger-chunk")


def image() -> None:
    """What an image goes through."""
    if unknown := [step for step in STEPS if step[1] not in TRANSITIONS[step[0]]]:
        raise SystemExit(f"shared/states.py does not allow {unknown}")
    figure = Figure(600, 240, "States of an image: queued, running, succeeded, failed, cancelled")
    for step, path in STEPS.items():
        figure.way(path, back=step in ((R, Q), (F, Q)))
    for name, at in IMAGES.items():
        state(figure, at, name, final=name in (S, F, C))
    figure.text(190, 106, "claim", "small", anchor="middle")
    figure.text(190, 156, "lost", "small bad", anchor="middle")
    figure.text(405, 118, "commit", "small", anchor="middle")
    figure.text(300, 34, "camq retry", "small bad", anchor="middle")
    figure.text(260, 224, "camq cancel", "small", anchor="middle")
    figure.save("ledger-image")


def death(settings: Settings) -> None:
    """A worker is stopped with a chunk in hand; another ends it; the first one wakes and is refused."""
    figure = Figure(
        600, 300, "A stopped worker's lease runs out, another worker finishes the chunk, the late commit is refused"
    )
    lease, reap = settings.lease_s, settings.reap_s
    renew = lease / 4  # worker/chunk/leases.py
    stopped, last = 2 * renew + 1, 2 * renew
    found = last + lease + reap / 2
    end = 34.0

    def at(second: float) -> float:
        return 110 + 462 * second / end

    lanes = {"worker A": 70.0, "ledger": 150.0, "worker B": 230.0}
    for name, y in lanes.items():
        figure.text(20, y + 5, name, "bold small")
        figure.rect(at(0), y, at(end) - at(0), 1, "edge")
    a, ledger, b = lanes.values()
    figure.rect(at(0), a - 12, at(stopped) - at(0), 24, "final", radius=6)
    figure.rect(at(found + 0.6), b - 12, at(29) - at(found + 0.6), 24, "final", radius=6)
    for second, words in ((0, "claim"), (renew, ""), (2 * renew, "renewed")):
        figure.way(f"M{at(second):g} {a + 14}V{ledger - 16:g}")
        figure.text(at(second) + 5, 116, words, "small quiet")
    figure.text(at(stopped) + 6, a - 4, "stopped", "small bad")
    figure.rect(at(0), ledger - 12, at(last + lease) - at(0), 24, "node", radius=6)
    figure.text(at(last + lease / 2), ledger + 5, f"lease of {lease:g} s", "small", anchor="middle")
    figure.text(at(last + lease) + 4, ledger - 16, "runs out", "small bad")
    figure.rect(at(found), ledger - 12, at(29) - at(found), 24, "node", radius=6)
    figure.text(at(24.5), ledger + 5, "B's token", "small", anchor="middle")
    figure.way(f"M{at(found + 0.6):g} {b - 14}V{ledger + 16:g}")
    figure.text(at(found + 0.6) - 6, 198, "sent again, claimed", "small quiet", anchor="end")
    figure.way(f"M{at(29):g} {b - 14}V{ledger + 16:g}")
    figure.text(at(29) + 6, 198, "commit", "small quiet")
    figure.way(f"M{at(31.5):g} {a + 14}V{ledger - 6:g}", back=True)
    figure.text(at(31.5) - 4, a - 4, "wakes, commits", "small bad", anchor="end")
    figure.text(at(31.5) + 6, 116, "stale", "small bad")
    for second in range(0, int(end) + 1, 10):
        figure.text(at(second), 284, f"{second} s", "small quiet", anchor="middle")
        figure.rect(at(second), 262, 1, 6, "edge")
    figure.save("ledger-death")


if __name__ == "__main__":
    main()
