//! What the push thread makes of a connection, with one that does as it is told.

use std::cell::Cell;

use gstreamer as gst;

use super::*;
use crate::capture::gst::Timebase;
use crate::capture::guard_link::EventSender;
use crate::capture::media::Track;
use crate::capture::output::credentials::IngestCredentials;
use crate::capture::queue::tests::frame;
use crate::ipc::FromCapture;

/// A server that has the first frame after some more, and drops the stream in the end.
struct Fake {
    first: u64,
    last: u64,
    taken: Cell<u64>,
}

fn fake(first: u64, last: u64) -> Fake {
    Fake { first, last, taken: Cell::default() }
}

impl IngestConnection for Fake {
    fn is_connected(&self) -> bool {
        true
    }

    fn supply(&mut self, _: Frame) -> Result<(), ConnectionError> {
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }

    fn is_full(&self) -> bool {
        false
    }

    fn arrived(&self) -> u64 {
        self.taken.get()
    }

    fn has_first(&self) -> bool {
        self.taken.get() >= self.first
    }

    fn trouble(&self) -> Option<ConnectionError> {
        (self.taken.get() >= self.last).then(|| ConnectionError::unreachable("dropped"))
    }
}

/// A push thread without its thread.
fn pusher(queue: &Arc<FrameQueue>, reporter: StatusReporter, stopped: Receiver<()>) -> PublishLoop {
    let config = crate::config::example("");
    let to = &config.ingest.first;
    let target = IngestTarget::new(&config, to, IngestCredentials::resolve(to).unwrap(), true, Timebase::start());
    let clock = Clock::start();
    PublishLoop {
        target,
        queue: queue.clone(),
        loudness: None,
        reporter,
        knobs: EncoderControl::default(),
        steer: RateAdapter::still(),
        stopped,
        clock,
        reconnects: 0,
        meter: RateMeter::new(clock.now()),
        told: None,
    }
}

#[test]
fn a_connection_is_on_air_once_the_server_has_the_first_frame_and_until_its_last_sign() {
    gst::init().unwrap();
    let queue = Arc::new(FrameQueue::default());
    let ((event_sender, mut heard), (_stop, stopped)) = (EventSender::with_receiver(), channel());
    let mut pusher = pusher(&queue, StatusReporter::First(event_sender), stopped);
    let camera = {
        let queue = queue.clone();
        std::thread::spawn(move || {
            for number in 0..20 {
                queue.push(frame(Track::Video, number * 50, number == 0, 1000));
                std::thread::park_timeout(Duration::from_millis(50));
            }
        })
    };
    let mut line = fake(4, 16);
    let Ok((trouble, on_air)) = pusher.supply(&mut line) else { panic!("nobody stopped it") };
    assert_eq!(trouble, ConnectionError::unreachable("dropped"));
    // From the fourth to the fifteenth: eleven steps of 50 ms, or fewer where this thread was kept waiting.
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&on_air), "{on_air:?}");
    let mut said = std::iter::from_fn(|| heard.try_recv().ok()).filter(|said| !matches!(said, FromCapture::Stats(_)));
    assert_eq!(said.next(), Some(FromCapture::Live {}));
    assert_eq!(said.next(), None);
    camera.join().unwrap();

    let mut line = fake(4, 2);
    queue.push(frame(Track::Video, 2000, true, 1000));
    queue.push(frame(Track::Video, 2050, false, 1000));
    let Ok((_, on_air)) = pusher.supply(&mut line) else { panic!("nobody stopped it") };
    assert_eq!(on_air, Duration::ZERO);
    // What nobody took is given again.
    assert_eq!(queue.pop(Duration::ZERO).unwrap().buffer.pts(), Some(gst::ClockTime::from_seconds(2)));
    let mut said = std::iter::from_fn(|| heard.try_recv().ok());
    assert!(said.all(|said| matches!(said, FromCapture::Stats(_))));
}
