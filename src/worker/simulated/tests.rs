//! Threads as steps of simulated time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::super::{OnDrop, Worker, detached};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_simulated_thread_works_at_simulated_times() {
    let _installed = install();
    let count = Arc::new(AtomicU32::new(0));
    let add = |count: &Arc<AtomicU32>| {
        let count = count.clone();
        move || {
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    detached("first", add(&count)).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 0);
    tokio::task::yield_now().await;
    assert_eq!(count.load(Ordering::Relaxed), 1);

    stall(Instant::now() + Duration::from_secs(5));
    let more = add(&count);
    let worker = Worker::spawn("second", OnDrop::Detach, move |_| more()).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!worker.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(worker.is_finished());
    assert_eq!(count.load(Ordering::Relaxed), 2);
}
