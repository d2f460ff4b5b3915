//! Incidents on the page, in the language of whoever reads it.

use serde_json::json;

use crate::site::{Broker, Site, no_faults, open_box, state, wait_for_boxes};
use crate::support::wait_until;

#[test]
fn an_open_incident_says_what_happened_and_what_to_do_in_both_languages() {
    let broker = Broker::start();
    let site = Site::start(&broker);
    let mut said = state("fault", false, Some("tamper"));
    said["incidents"] = json!(["case-opened", "of-a-later-version"]);
    broker.state("shop-1", &said);
    for (language, words) in [("en", "Look at the box, then close the case."), ("zh", "检查盒子，然后合上机壳。")]
    {
        let browser = site.connect(&broker, language, 1);
        wait_for_boxes(&browser, 1);
        open_box(&browser, "shop-1");
        let shown = || browser.value("document.querySelector('.incidents')?.innerText ?? ''").to_string();
        wait_until("it is shown", || shown().contains(words));
        assert!(shown().contains("of-a-later-version"), "{}", shown());
        assert!(language == "en" || !shown().contains("Somebody"), "{}", shown());
        no_faults(&browser);
    }
}
