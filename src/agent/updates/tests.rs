use super::*;

#[test]
fn pauses_grow_and_boxes_that_failed_together_come_back_apart() {
    let spread = |failures| {
        let all: Vec<Duration> = (0..200).map(|_| pause(failures)).collect();
        (*all.iter().min().unwrap(), *all.iter().max().unwrap())
    };
    for (failures, most) in [(1, 60), (2, 120), (4, 480), (7, 3600), (u32::MAX, 3600)] {
        let (least, longest) = spread(failures);
        let most = Duration::from_secs(most);
        assert!(
            longest <= most && least >= most / 2 && longest > least + most / 4,
            "{failures}: {least:?} {longest:?}"
        );
    }
}
