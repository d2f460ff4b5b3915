//! The fuzz target for a camera's descriptors.

use super::uvc::{self, MOST_OFFERS, OfferedFormat, Rates};
use super::{CameraRequest, select};
use crate::fuzzing::input::Input;

/// What a hostile camera says of itself: what is offered is bounded, and what is selected was offered.
pub(crate) fn descriptors(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let control = input.byte();
    let size = |number: u64| u32::try_from(number % 4000).expect("below 4000");
    let request =
        CameraRequest { width: size(input.number()), height: size(input.number()), fps: 1 + size(input.number()) % 60 };
    let offers = uvc::offers(input.rest(), control);
    assert!(offers.len() <= MOST_OFFERS, "{} offers", offers.len());
    for line in uvc::listed(&offers) {
        assert!(line.is_ascii() && !line.contains(|letter: char| letter.is_control()), "{line:?}");
    }
    let mut modes = Vec::new();
    for offer in &offers {
        assert!((1..=0xffff).contains(&offer.width) && (1..=0xffff).contains(&offer.height), "{offer:?}");
        let positive = |(pictures, seconds): (u32, u32)| pictures > 0 && seconds > 0;
        assert!(offer.highest_rate().is_some_and(positive), "{offer:?}");
        let of_offer = offer.modes(request);
        assert!(of_offer.is_empty() == matches!(offer.format, OfferedFormat::Other(_)), "{offer:?}");
        for mode in &of_offer {
            let rate = mode.rate.expect("a rate");
            let millihertz = |(pictures, seconds): (u32, u32)| u64::from(pictures) * 1000 / u64::from(seconds);
            let is_offered = match &offer.rates {
                Rates::These(rates) => rates.contains(&rate),
                Rates::Range { lowest, highest } => {
                    (millihertz(*lowest)..=millihertz(*highest)).contains(&millihertz(rate))
                }
            };
            assert!(positive(rate) && is_offered, "{mode} of {offer:?}");
        }
        modes.extend(of_offer);
    }
    match select(&modes, &[], request) {
        Ok(selection) => {
            assert!(modes.contains(&selection.mode), "{}", selection.mode);
            assert!(!selection.reason.is_empty() && selection.reason.len() < 200, "{}", selection.reason);
        }
        Err(_) => assert!(modes.is_empty()),
    }
}
