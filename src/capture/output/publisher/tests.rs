//! The publishing thread's loop, over a connection that does what the test says.

use gstreamer as gst;
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::capture::gst::Timebase;
use crate::capture::guard_link::EventSender;
use crate::capture::media::Track;
use crate::capture::output::credentials::IngestCredentials;
use crate::capture::queue::tests::frame;
use crate::ipc::FromCapture;

/// A connection whose server has the first frame after some more, and that fails in the end.
struct FakeConnection {
    first_delivered_after: u64,
    fails_after: u64,
    sent: u64,
}

impl FakeConnection {
    fn new(first_delivered_after: u64, fails_after: u64) -> Self {
        Self { first_delivered_after, fails_after, sent: 0 }
    }
}

impl IngestConnection for FakeConnection {
    fn is_connected(&self) -> bool {
        true
    }

    fn server(&self) -> Option<std::net::SocketAddr> {
        None
    }

    fn send(&mut self, _: Frame) -> Result<(), ConnectionError> {
        self.sent += 1;
        Ok(())
    }

    fn would_block(&self) -> bool {
        false
    }

    fn progress(&self) -> u64 {
        self.sent
    }

    fn first_frame_delivered(&self) -> bool {
        self.sent >= self.first_delivered_after
    }

    fn take_error(&mut self) -> Option<ConnectionError> {
        (self.sent >= self.fails_after).then(|| ConnectionError::unreachable("dropped"))
    }
}

/// The publisher without its thread, its queue, and what it reports.
fn publisher() -> (StreamPublisherThread, Arc<FrameQueue>, Receiver<FromCapture>) {
    gst::init().unwrap();
    let config = crate::config::example("");
    let to = &config.ingest.first;
    let target = IngestTarget::new(&config, to, IngestCredentials::resolve(to).unwrap(), true, Timebase::start());
    let (queue, rendition) = (Arc::new(FrameQueue::default()), config.video.rendition());
    let (sender, events) = EventSender::with_receiver();
    let config = StreamPublisherConfig {
        target,
        queue: queue.clone(),
        level_meter: None,
        reporter: StatusReporter::First(sender),
        encoder: EncoderControl::default(),
        rate_adapter: RateAdapter::fixed(rendition),
    };
    (StreamPublisherThread::new(config, Stop::default()), queue, events)
}

fn push_frames(queue: &FrameQueue, count: u64) {
    for number in 0..count {
        queue.push(frame(Track::Video, number * 50, number == 0, 1000));
    }
}

/// What was reported apart from statistics.
fn reported(events: &mut Receiver<FromCapture>) -> Vec<FromCapture> {
    let all = std::iter::from_fn(|| events.try_recv().ok());
    all.filter(|event| !matches!(event, FromCapture::Stats(_))).collect()
}

#[track_caller]
fn publish(publisher: &mut StreamPublisherThread, mut connection: FakeConnection) -> Duration {
    let Ok((error, uptime)) = publisher.publish_once(&mut connection) else { panic!("nobody stopped it") };
    assert_eq!(error, ConnectionError::unreachable("dropped"));
    uptime
}

#[test]
fn uptime_goes_from_the_first_frames_arrival_to_the_last_progress() {
    let (mut publisher, queue, _events) = publisher();
    let camera = std::thread::spawn(move || {
        for number in 0..20 {
            queue.push(frame(Track::Video, number * 50, number == 0, 1000));
            std::thread::park_timeout(Duration::from_millis(50));
        }
    });
    let uptime = publish(&mut publisher, FakeConnection::new(4, 16));
    // From the fourth to the fifteenth: eleven steps of 50 ms, or fewer where this thread had to wait.
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&uptime), "{uptime:?}");
    camera.join().unwrap();
}

#[test]
fn the_stream_is_live_once_the_server_has_the_first_frame() {
    let (mut publisher, queue, mut events) = publisher();
    push_frames(&queue, 20);
    publish(&mut publisher, FakeConnection::new(4, 16));
    assert_eq!(reported(&mut events), [FromCapture::Live {}]);
}

#[test]
fn frames_of_a_connection_that_never_was_live_are_queued_again() {
    let (mut publisher, queue, mut events) = publisher();
    push_frames(&queue, 2);
    assert_eq!(publish(&mut publisher, FakeConnection::new(4, 2)), Duration::ZERO);
    assert_eq!(reported(&mut events), []);
    assert_eq!(queue.pop(Duration::ZERO).unwrap().buffer.pts(), Some(gst::ClockTime::ZERO));
}
