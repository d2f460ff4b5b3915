"""USB webcams as shops have them, on their real drivers: which modes go on air, and what the box makes of cameras that
freeze, break pictures, move, come and go."""
import os
import time

from waiting import wait
from servers import ffprobe, pitch
from scenario import scenario
from unplug import clock, cycles, reason, slates, told, whole
from usb_webcam import TONE, Webcam, webcam

UNPLUGS = int(os.environ.get("TALLYBOX_UNPLUGS") or 100)
# A picture's worth of jitter, in a second of them.
JITTER = 2


def per_second(file):
    """How many pictures of a recording are in each of its whole seconds."""
    times = [float(packet["pts_time"]) for packet in ffprobe(file, "packet=pts_time", "v")["packets"]]
    return [sum(second <= at - times[0] < second + 1 for at in times) for second in range(int(times[-1] - times[0]))]


def on_air(box, peers, camera, seconds=4, **changes):
    """A session with the webcam: the recording, and the camera's mode as `status` has it."""
    box.configure(**camera.settings(**changes))
    report = box.sh("tallybox doctor", check=False)
    box.live()
    status = wait("a mode and a stream", lambda: (now := box.status()).get("camera") and now.get("stream") and now)
    before = peers.received()
    time.sleep(seconds)
    assert peers.received() > before, "nothing reached the ingest"
    assert box.status().get("phase") == "live" and not box.status().get("reason"), box.status()
    assert f"{status['camera']} will be taken" in report, f"{status['camera']}; doctor: {report}"
    took = box.touch()
    assert took < 500, f"capture gone after {took} ms"
    wait("the camera's own lamp is dark", lambda: not camera.lit(), 5)
    return peers.recordings()[-1], status["camera"]


def tries(box, peers, camera, modes):
    """Each of `modes`: what is configured, and in which mode it is taken, as the box and the webcam itself tell."""
    seen = []
    for (width, height, fps), mode, own in modes:
        said = len(camera.said)
        file, taken = on_air(box, peers, camera, width=width, height=height, fps=fps)
        assert taken == mode and f"camera {own}" in camera.said[said:], f"{width}x{height} at {fps}: {taken}; {camera.said[said:]}"
        picture = ffprobe(file, "stream=width,height", "v")["streams"][0]
        assert (picture["width"], picture["height"]) == (width, height), picture
        rate = per_second(file)
        assert max(rate) <= fps + JITTER, f"{width}x{height} at {fps}: {rate}"
        seen.append(f"{width}x{height}@{fps}: {mode}, {sum(rate) / len(rate):.1f}/s")
    return "; ".join(seen)


@scenario("USB webcam: on uvcvideo and snd-usb-audio it goes on air, in the mode that doctor tells")
def goes_on_air(box, peers):
    with webcam(box, "c920", shapes=["yuyv-640x360"]) as camera:
        return tries(box, peers, camera, [((640, 360, 15), "YUY2 640x360 at 15/s", "yuyv:640x360@15")])


@scenario("USB webcam: a C920, raw where it is fast enough, JPEG where it is not", short=False)
def c920(box, peers):
    with webcam(box, "c920", shapes=["mjpeg-1280x720", "yuyv-1280x720", "yuyv-640x480"]) as camera:
        return tries(box, peers, camera, [
            ((640, 480, 30), "YUY2 640x480 at 30/s", "yuyv:640x480@30"),
            ((640, 480, 25), "YUY2 640x480 at 30/s", "yuyv:640x480@30"),
            ((1280, 720, 10), "YUY2 1280x720 at 10/s", "yuyv:1280x720@10"),
            ((1280, 720, 25), "JPEG 1280x720 at 30/s", "mjpeg:1280x720@30"),
            ((1280, 720, 30), "JPEG 1280x720 at 30/s", "mjpeg:1280x720@30"),
        ])


@scenario("USB webcam: a C270, 25 a second exactly, as JPEG; in the dark fewer pictures come, and it is not lost", short=False)
def c270(box, peers):
    with webcam(box, "c270", shapes=["mjpeg-1280x720", "yuyv-640x480"]) as camera:
        seen = tries(box, peers, camera, [
            ((1280, 720, 25), "JPEG 1280x720 at 25/s", "mjpeg:1280x720@25"),
            ((640, 480, 15), "YUY2 640x480 at 15/s", "yuyv:640x480@15"),
        ])
        box.configure(**camera.settings(width=640, height=480, fps=15))
        box.live()
        since = clock(box)
        time.sleep(3)
        camera.order("dark 3")
        time.sleep(6)
        camera.order("dark 1")
        time.sleep(4)
        assert not told(box, "camera-lost", since), box.log()
        box.touch()
        # In the first two a session begins.
        rate = per_second(peers.recordings()[-1])[2:]
        assert min(rate) <= 5 + JITTER, f"it was never dark: {rate}"
        assert min(rate) >= 5 - JITTER and max(rate) <= 15 + JITTER, rate
        return f"{seen}; 15/s, in the dark 5/s: {rate}"


@scenario("USB webcam: a cheap one with JPEG at 15 a second only; one with H.264 only is refused, and doctor tells beforehand", short=False)
def few_modes(box, peers):
    with webcam(box, "cheap", shapes=["mjpeg-1280x720"]) as camera:
        seen = tries(box, peers, camera, [
            ((1280, 720, 30), "JPEG 1280x720 at 15/s", "mjpeg:1280x720@15"),
            ((640, 360, 15), "JPEG 1280x720 at 15/s", "mjpeg:1280x720@15"),
        ])
    with webcam(box, "h264") as camera:
        box.configure(**camera.settings(width=1280, height=720))
        report = box.sh("tallybox doctor", check=False)
        assert "gives only H.264" in report, report
        box.idle()
        known = len(box.facts())
        box.hand.press()
        ended = lambda: next((fact for fact in box.facts()[known:] if fact["kind"] == "session-stopped"), None)
        said = wait("the session ends, and says why", ended, 30, 0.2)
        assert said["reason"] == "capture-failed" and "gives only H.264" in said["message"], said
        box.dark()
        assert not camera.lit()
    return f"{seen}; {said['message']}"


@scenario("USB webcam: a microphone with 44.1 kHz mono only: the ingest hears the tone that it hears", short=False)
def odd_microphone(box, peers):
    seen = []
    with webcam(box, "c920", shapes=["yuyv-640x360"], sound=44_100) as camera:
        for card in (f"plughw:CARD={camera.card}", f"hw:CARD={camera.card}"):
            file, _ = on_air(box, peers, camera, seconds=6, sound=card)
            heard, seconds = pitch(file)
            _, step = whole(file, 2.0, 0.1)
            assert abs(heard - TONE) < 3, f"{card}: {heard:.1f} Hz"
            seen.append(f"{card}: {heard:.1f} Hz for {seconds:.1f} s, longest step {step:.3f} s")
    return "; ".join(seen)


@scenario("USB webcam: a camera that freezes without a word, and a microphone that falls silent: told within 2 s, and back within 2 s", short=False)
def freezes(box, peers):
    seen = []
    with webcam(box, "c920", shapes=["yuyv-640x360"]) as camera:
        box.configure(**camera.settings())
        box.live()
        wait("a stream", lambda: box.status().get("stream"))
        known, capture = len(peers.recordings()), box.hand.now("capture")
        for word, order, end in (("camera-lost", "freeze", "thaw"), ("microphone-lost", "mute", "unmute")):
            for seconds in (3, 8):
                began = clock(box)
                camera.order(order)
                reason(box, word)
                time.sleep(seconds)
                ended = clock(box)
                camera.order(end)
                reason(box, None)
                lost, back = told(box, word, began)[-1]
                assert lost - began < 2 and back - ended < 2, f"{word}: told {lost - began:.2f} s after {order}, back {back - ended:.2f} s after {end}"
                seen.append(f"{order} for {seconds} s: told after {lost - began:.2f} s, back after {back - ended:.2f} s")
        assert box.hand.now("capture") == capture and len(peers.recordings()) == known, "one capture, and one stream"
        box.touch()
        picture, sound = whole(peers.recordings()[-1], 2.0, 0.5)
    return f"{'; '.join(seen)}; longest step {picture:.2f} s of picture, {sound:.2f} s of sound"


@scenario("USB webcam: one that breaks its JPEGs: the picture goes on, whichever way they are broken", short=False)
def broken_pictures(box, peers):
    seen = []
    with webcam(box, "cheap", shapes=["mjpeg-640x480"]) as camera:
        box.configure(**camera.settings(width=640, height=480))
        box.live()
        wait("a stream", lambda: box.status().get("stream"))
        known, capture = len(peers.recordings()), box.hand.now("capture")
        for kind in ("truncated", "garbage", "no-end", "other-size", "empty", "header"):
            since = clock(box)
            camera.order(f"spoil {kind} 3")
            time.sleep(5)
            assert not told(box, "camera-lost", since), f"{kind}: {box.log()}"
            fps = box.status()["stream"]["fps"]
            # None is whole: whether some can be shown is the decoder's affair; that the box lives is not.
            camera.order(f"spoil {kind} 1")
            time.sleep(5)
            lost = bool(told(box, "camera-lost", since))
            mended = clock(box)
            camera.order("whole")
            reason(box, None)
            took = max([back - mended for _, back in told(box, "camera-lost", since) if back and back > mended], default=0)
            assert took < 2, f"{kind}: back after {took:.2f} s"
            seen.append(f"{kind}: {fps:.0f} frames/s, and of all of them {'lost, back after %.2f s' % took if lost else 'shown'}")
        assert box.hand.now("capture") == capture and len(peers.recordings()) == known, "one capture, and one stream"
        box.touch()
        picture, sound = whole(peers.recordings()[-1], 2.0, 0.5)
    return f"a third of them: never lost; {'; '.join(seen)}; longest step {picture:.2f} s of picture, {sound:.2f} s of sound"


def leftovers(box):
    """What capture still has open of devices that are gone."""
    pid = box.hand.now("capture").split(",")[0]
    return box.sh(f"ls -l /proc/{pid}/fd | grep -E '(video|snd).*deleted'", check=False)


@scenario(f"USB webcam: camera and microphone are unplugged together {UNPLUGS} times while live, and come back", short=False)
def unplugs(box, peers):
    with webcam(box, "c920", shapes=["yuyv-640x360"]) as camera:
        box.configure(**camera.settings())
        file, seen = cycles(box, peers, camera, UNPLUGS)
        picture, sound = whole(file, 2.0, 0.5)
        assert slates(file) == UNPLUGS, f"{slates(file)} slates in {UNPLUGS} rounds"
    return f"{seen}; longest step at the ingest {picture:.2f} s of picture, {sound:.2f} s of sound"


@scenario("USB webcam: camera and microphone are moved to another port while live: by their names they are found there", short=False)
def moves(box, peers):
    seen = []
    with webcam(box, "c920", shapes=["yuyv-640x360"]) as camera:
        # 25 of the camera's 30 are kept, from whenever it was opened.
        box.configure(**camera.settings(fps=25))
        box.live()
        wait("a stream", lambda: box.status().get("stream"))
        capture = box.hand.now("capture")
        for port in (3, 1, 0):
            pulled = camera.pull(box)
            reason(box, "camera-lost")
            there = camera.plug(port)
            reason(box, None)
            for word in camera.words:
                _, back = told(box, word, pulled)[-1]
                assert back - there < 2, f"{word}: back after {back - there:.2f} s"
                seen.append(f"{word[:-5]} {back - there:.2f} s")
        assert box.hand.now("capture") == capture and not leftovers(box), leftovers(box)
        time.sleep(3)
        box.touch()
        whole(peers.recordings()[-1], 2.0, 0.5)
        rate = per_second(peers.recordings()[-1])
        assert max(rate) <= 25 + JITTER, rate
    return f"back after it was there: {', '.join(seen)}; at most {max(rate)} pictures in a second"


@scenario("USB webcam: two of one model and one serial number: doctor warns, and by their ports they are never mistaken", short=False)
def twins(box, peers):
    # A C270 is reset after each sleep, as a workaround, which the virtual hub does not bear for two at once.
    with webcam(box, "cheap", shapes=["mjpeg-640x480"]) as one:
        two = Webcam(box, "cheap", shapes=["mjpeg-640x480"], number=1)
        try:
            two.plug(1)
            settings = lambda camera, device: camera.settings(width=640, height=480, device=device)
            box.configure(**settings(one, one.by_id))
            report = box.sh("tallybox doctor", check=False)
            assert "another camera here has the same id" in report, report
            for own, other, port in ((one, two, 0), (two, one, 1)):
                box.configure(**settings(own, own.by_path(port)))
                box.live()
                wait("it gives pictures", own.lit)
                assert not other.lit(), "the other camera was opened"
                pulled = own.pull(box)
                reason(box, "camera-lost")
                time.sleep(3)
                assert not other.lit(), "the other camera was taken in its place"
                own.push(box)
                reason(box, None)
                assert own.lit() and not other.lit() and told(box, "camera-lost", pulled)[-1][1]
                box.touch()
            box.configure(**settings(one, "auto"))
            box.live()
            wait("auto takes the one in the first port", one.lit)
            assert not two.lit() and one.by_path(0) in box.status()["camera"], box.status()
            box.touch()
        finally:
            two.close()
    return "each alone by its port, also while it was away; auto takes the first port's"


@scenario("USB webcam: in a brown-out camera and microphone come and go every 3 s for a minute while live", short=False)
def brown_out(box, peers):
    with webcam(box, "c920", shapes=["yuyv-640x360"]) as camera:
        box.configure(**camera.settings())
        box.live()
        wait("a stream", lambda: box.status().get("stream"))
        capture, mark, began = box.hand.now("capture"), box.hand.mark(), clock(box)
        known = len(peers.recordings())
        end = time.monotonic() + 60
        count = 0
        while time.monotonic() < end:
            again = time.monotonic() + 3
            camera.pull(box)
            time.sleep(1)
            there = camera.push(box)
            count += 1
            time.sleep(max(0, again - time.monotonic()))
        reason(box, None)
        for word in camera.words:
            lost, back = told(box, word, began)[-1]
            assert lost < there and back - there < 2, f"{word}: back after {back - there:.2f} s"
        time.sleep(2)
        assert box.hand.now("capture") == capture and not box.hand.values(mark, "lamp"), "one capture, under a solid lamp"
        assert not leftovers(box), leftovers(box)
        returns = len(told(box, "camera-lost", began))
        box.touch()
        assert len(peers.recordings()) == known, "the stream broke"
        picture, sound = whole(peers.recordings()[-1], 2.0, 2.0)
    return f"{count} times, of which the picture was back {returns} times meanwhile; longest step {picture:.2f} s of picture, {sound:.2f} s of sound"
