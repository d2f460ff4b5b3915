//! The table of plugins against those that are installed here.

use gst::prelude::*;

use super::*;

#[test]
fn every_element_is_in_the_plugin_that_the_table_names() {
    gst::init().unwrap();
    for Plugin { name, elements, .. } in &PLUGINS {
        for element in *elements {
            // These two exist only with their hardware, or with a package of their own.
            let Some(factory) = gst::ElementFactory::find(element) else {
                assert!(["v4l2h264enc", "libcamerasrc"].contains(element), "{element}");
                continue;
            };
            assert_eq!(factory.plugin_name().as_deref(), Some(*name), "{element}");
        }
    }
    for name in CAMERA_PLUGINS.iter().chain(FILE_PLUGINS.iter().flat_map(|(_, plugins)| *plugins)) {
        assert!(plugin_directory().join(format!("libgst{name}.so")).exists(), "{name}");
    }
}

#[test]
fn a_missing_element_is_reported_with_its_package() {
    gst::init().unwrap();
    let message = make("nothingenc", "encoder").unwrap_err().message;
    assert!(
        message.contains("nothingenc") && message.contains("install the package gstreamer1.0-plugins-bad"),
        "{message}"
    );
}
