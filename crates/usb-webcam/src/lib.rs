//! A USB webcam with a microphone, for tests: the far end of a USB/IP connection, to which a machine's own `vhci_hcd`,
//! `uvcvideo` and `snd-usb-audio` talk as to one on a cable.
//!
//! USB 2.0 at high speed with isochronous endpoints, USB Video Class 1.0, USB Audio Class 1.0. [`Device`] is the webcam
//! itself, which does no I/O but reading its footage; [`serve`] connects it to a bus. What the machine asks is checked
//! like any input from outside: a wrong request is stalled, and one that cannot be read ends the connection.

mod connection;
mod descriptors;
mod device;
mod footage;
mod model;
mod negotiation;
mod order;
mod spoil;
mod usbip;

pub use connection::{Webcam, serve};
pub use descriptors::{Identity, sysfs_descriptors};
pub use device::Device;
pub use footage::Footage;
pub use model::{Format, Frame, MODELS, Model, model};
pub use order::Order;
pub use spoil::Spoil;
