//! That the table of plugins is what this machine has.

use gst::prelude::*;

use super::*;

#[test]
fn elements_are_where_they_are_looked_for() {
    gst::init().unwrap();
    for Plugin { name, elements, .. } in &PLUGINS {
        for element in *elements {
            // Two of them are there only with their hardware, or its own package.
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
fn what_is_not_here_is_told_with_its_package() {
    gst::init().unwrap();
    let message = make("nothingenc", "encoder").unwrap_err().message;
    assert!(
        message.contains("nothingenc") && message.contains("install the package gstreamer1.0-plugins-bad"),
        "{message}"
    );
}
