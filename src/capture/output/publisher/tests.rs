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
struct FakeConnection {
    first_delivered_after: u64,
    fails_after: u64,
    sent: Cell<u64>,
}

fn fake(first_delivered_after: u64, fails_after: u64) -> FakeConnection {
    FakeConnection { first_delivered_after, fails_after, sent: Cell::default() }
}

impl IngestConnection for FakeConnection {
    fn is_connected(&self) -> bool {
        true
    }

    fn send(&mut self, _: Frame) -> Result<(), ConnectionError> {
        self.sent.set(self.sent.get() + 1);
        Ok(())
    }

    fn would_block(&self) -> bool {
        false
    }

    fn progress(&self) -> u64 {
        self.sent.get()
    }

    fn first_frame_delivered(&self) -> bool {
        self.sent.get() >= self.first_delivered_after
    }

    fn take_error(&self) -> Option<ConnectionError> {
        (self.sent.get() >= self.fails_after).then(|| ConnectionError::unreachable("dropped"))
    }
}

/// A push thread without its thread.
fn publisher(queue: &Arc<FrameQueue>, reporter: StatusReporter, stopped: Receiver<()>) -> PublishLoop {
    let config = crate::config::example("");
    let to = &config.ingest.first;
    let target = IngestTarget::new(&config, to, IngestCredentials::resolve(to).unwrap(), true, Timebase::start());
    let clock = Clock::start();
    PublishLoop {
        target,
        queue: queue.clone(),
        level_meter: None,
        reporter,
        encoder: EncoderControl::default(),
        rate_adapter: RateAdapter::disabled(),
        stopped,
        clock,
        reconnects: 0,
        rate_meter: RateMeter::new(clock.now()),
        last_reported: None,
    }
}

#[test]
fn a_connection_is_on_air_once_the_server_has_the_first_frame_and_until_its_last_sign() {
    gst::init().unwrap();
    let queue = Arc::new(FrameQueue::default());
    let ((sender, mut events), (_stop, stopped)) = (EventSender::with_receiver(), channel());
    let mut publisher = publisher(&queue, StatusReporter::First(sender), stopped);
    let camera = {
        let queue = queue.clone();
        std::thread::spawn(move || {
            for number in 0..20 {
                queue.push(frame(Track::Video, number * 50, number == 0, 1000));
                std::thread::park_timeout(Duration::from_millis(50));
            }
        })
    };
    let mut connection = fake(4, 16);
    let Ok((error, on_air)) = publisher.publish_once(&mut connection) else { panic!("nobody stopped it") };
    assert_eq!(error, ConnectionError::unreachable("dropped"));
    // From the fourth to the fifteenth: eleven steps of 50 ms, or fewer where this thread was kept waiting.
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&on_air), "{on_air:?}");
    let mut reported =
        std::iter::from_fn(|| events.try_recv().ok()).filter(|reported| !matches!(reported, FromCapture::Stats(_)));
    assert_eq!(reported.next(), Some(FromCapture::Live {}));
    assert_eq!(reported.next(), None);
    camera.join().unwrap();

    let mut connection = fake(4, 2);
    queue.push(frame(Track::Video, 2000, true, 1000));
    queue.push(frame(Track::Video, 2050, false, 1000));
    let Ok((_, on_air)) = publisher.publish_once(&mut connection) else { panic!("nobody stopped it") };
    assert_eq!(on_air, Duration::ZERO);
    // What nobody took is given again.
    assert_eq!(queue.pop(Duration::ZERO).unwrap().buffer.pts(), Some(gst::ClockTime::from_seconds(2)));
    let mut reported = std::iter::from_fn(|| events.try_recv().ok());
    assert!(reported.all(|reported| matches!(reported, FromCapture::Stats(_))));
}
