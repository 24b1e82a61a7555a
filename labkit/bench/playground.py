"""The playground: what a frame costs, how many are drawn, and how soon a click or a drag is seen."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from playwright.sync_api import Page

from labkit.bench.browser import RATE, STATUS, button, first_drawn, with_view
from labkit.bench.jupyter import kernel
from labkit.playground.settings import FEATURES
from labkit.widgets import Playground

DEFAULT = ""
LARGE = f"features={FEATURES}, widths=(8,) * 6, activation='tanh'"

# From now on: when the browser got the first event of a gesture, and when the kernel's answer to it was drawn.
WATCH = """event => {
    const shown = document.querySelector('.labkit-view').labkit, { asked } = shown, gesture = {};
    let answered = shown.answered;
    addEventListener(event, ({ timeStamp }) => { gesture.began ??= timeStamp; }, { capture: true, once: true });
    Object.defineProperty(shown, 'answered', { configurable: true, enumerable: true, get: () => answered,
        set: value => {
            answered = value;
            if (gesture.began && value > asked) gesture.ended ??= performance.now();
        } });
    window.gesture = gesture;
}"""
DONE = "() => window.gesture.ended"
TOOK = "() => window.gesture.ended - window.gesture.began"
# A place on a line between the features and the first layer, on the page.
LINE = """() => {
    const canvas = document.querySelector('.lk-net-canvas'), box = canvas.getBoundingClientRect();
    const move = (clientX, clientY) => canvas.dispatchEvent(new PointerEvent('pointermove', { clientX, clientY }));
    for (let x = box.left; x < box.right; x += 4) {
        for (let y = box.top; y < box.bottom; y += 4) {
            move(x, y);
            if (canvas.style.cursor === 'ns-resize') return [x, y];
        }
    }
    return null;
}"""


def frame_default() -> list[float]:
    return frames(Playground())


def frame_6x8() -> list[float]:
    return frames(Playground(features=FEATURES, widths=(8,) * 6))


def frames(playground: Playground, rounds: int = 100) -> list[float]:
    """Milliseconds of an epoch, both losses, all maps and their message, as the view makes it; without the way."""
    with ThreadPoolExecutor(1) as thread:  # as in a run: the main thread also guards each step against interrupts
        times = [thread.submit(frame, playground).result() for _ in range(rounds + 5)]
    return times[5:]  # the first ones warm up


def frame(playground: Playground) -> float:
    start = time.perf_counter()
    trainer = playground.trainer
    for _ in range(trainer.steps_per_epoch):
        trainer.step()
    playground.update(*playground._frame())
    return (time.perf_counter() - start) * 1000


def lab(settings: str) -> AbstractContextManager[Page]:
    """A JupyterLab with a playground that stands at its start."""
    return with_view(["import labkit.widgets", f"playground = labkit.widgets.Playground({settings})\nplayground"])


def fps_default() -> list[float]:
    with lab(DEFAULT) as page:
        return fps(page)


def fps_6x8() -> list[float]:
    with lab(LARGE) as page:
        return fps(page)


def fps(page: Page, rounds: int = 5) -> list[float]:
    kernel(page, "playground.on_speed(None)")
    play(page)
    return [float(page.evaluate(RATE)) for _ in range(rounds)]


def play(page: Page) -> None:
    button(page, "Play").click()
    page.wait_for_function(STATUS, arg="playing")


def click() -> list[float]:
    with lab(DEFAULT) as page:
        return gestures(page)


def click_playing() -> list[float]:
    with lab(DEFAULT) as page:
        play(page)
        return gestures(page)


def gestures(page: Page, rounds: int = 7) -> list[float]:
    """Milliseconds from the event to the drawn answer, in turns: the point looked at, a weight dragged, the rate."""
    return [gesture(page, i) for i in range(rounds) for gesture in (move_probe, drag_weight, change_rate)]


def move_probe(page: Page, i: int) -> float:
    plot = page.locator(".pg-plot").first
    plot.hover(position={"x": 40 + 20 * i, "y": 150})
    page.evaluate(WATCH, "pointerdown")
    page.mouse.down()
    took = drawn(page)
    page.mouse.up()
    return took


def drag_weight(page: Page, i: int) -> float:
    page.locator(".lk-net-canvas").scroll_into_view_if_needed()
    x, y = page.evaluate(LINE)
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(WATCH, "pointermove")
    page.mouse.move(x, y - 10 - i)
    took = drawn(page)
    page.mouse.up()
    return took


def change_rate(page: Page, i: int) -> float:
    page.evaluate(WATCH, "change")
    page.locator("[data-setting=lr-usual]").select_option(index=3 + i % 2)
    return drawn(page)


def drawn(page: Page) -> float:
    page.wait_for_function(DONE)
    return float(page.evaluate(TOOK))


def first(rounds: int = 5) -> list[float]:
    """Seconds from running the cell that makes the playground to the first frame that it draws."""
    with lab(DEFAULT) as page:
        return [first_drawn(page) for _ in range(rounds)]
