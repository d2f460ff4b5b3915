//! Any Linux GPIO chip, through its character device.
//!
//! When the process ends the kernel releases the lines. Most chips keep an output's level until another program
//! requests the line: a lamp that was lit stays lit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gpiocdev::line::{Bias, EdgeDetection, EdgeKind, Value};
use gpiocdev::{Chip, Request};
use tokio::sync::mpsc;

use super::driver::{Button, PanelDriver, PanelError, PanelEvent, read_back};
use crate::config;
use crate::worker::{OnDrop, Worker};
use consent::LampPattern;

/// Who holds the lines, as `gpioinfo` shows it.
const CONSUMER: &str = "tallybox";
/// How often the thread checks whether it has to stop.
const LOOK: Duration = Duration::from_millis(200);

/// Lines of one chip.
#[derive(Debug)]
pub(super) struct CdevPanel {
    lamp: Request,
    sense: Option<Request>,
    case: Option<Request>,
    buttons: Vec<Watched>,
}

/// A button, and the thread that waits for its edges.
#[derive(Debug)]
struct Watched {
    button: Button,
    line: Arc<Request>,
    _thread: Worker,
}

/// The first chip that has all lines.
fn chip(config: &config::Panel) -> Result<PathBuf, PanelError> {
    let highest =
        [Some(config.button_pin), Some(config.lamp_pin), config.lamp_sense_pin, config.mute_pin, config.case_pin];
    let highest = highest.into_iter().flatten().max().unwrap_or(0);
    let chips = gpiocdev::chip::chips().unwrap_or_default();
    if chips.is_empty() {
        return Err(PanelError(
            "there is no GPIO chip (/dev/gpiochip*) that may be opened: connect button and lamp to one, add the guard's user to the group gpio, or set [panel] backend = \"sim\" to try tallybox without them".to_owned(),
        ));
    }
    for path in &chips {
        match Chip::from_path(path).and_then(|chip| chip.info()) {
            Ok(info) if info.num_lines > highest => return Ok(path.clone()),
            Ok(_) => {}
            Err(error) => tracing::warn!("{}: {error}", path.display()),
        }
    }
    Err(PanelError(format!("no GPIO chip that may be opened has a line {highest}: see [panel] and the group gpio")))
}

/// Why a line cannot be requested: another program holds it, or permission is missing.
fn explain(chip: &Path, line: u32, error: &gpiocdev::Error) -> PanelError {
    let holder = Chip::from_path(chip).and_then(|chip| chip.line_info(line)).ok().filter(|info| info.used);
    let advice = match holder {
        Some(info) => format!("it is held by {:?}: end that program, or choose another pin in [panel]", info.consumer),
        None => "see the pins in [panel], and that the guard's user is in the group gpio (DeviceAllow= in its unit)"
            .to_owned(),
    };
    PanelError(format!("line {line} of {}: {error}; {advice}", chip.display()))
}

impl CdevPanel {
    pub(super) fn open(
        config: &config::Panel,
        signals: &mpsc::UnboundedSender<PanelEvent>,
    ) -> Result<Self, PanelError> {
        let chip = chip(config)?;
        let request = |line: u32, set_up: &dyn Fn(&mut gpiocdev::request::Builder)| {
            let mut builder = Request::builder();
            builder.on_chip(&chip).with_consumer(CONSUMER).with_line(line);
            set_up(&mut builder);
            builder.request().map_err(|error| explain(&chip, line, &error))
        };
        let lamp = request(config.lamp_pin, &|line| {
            line.as_output(Value::Inactive);
        })?;
        let sense = config.lamp_sense_pin.map(|pin| {
            request(pin, &|line| {
                line.as_input();
            })
        });
        let bias = if config.active_low { Bias::PullUp } else { Bias::PullDown };
        let case = config.case_pin.map(|pin| {
            request(pin, &|line| {
                line.as_input().with_bias(bias);
                if config.active_low {
                    line.as_active_low();
                }
            })
        });
        let mut buttons = Vec::new();
        for (button, pin) in [(Button::Record, Some(config.button_pin)), (Button::Mute, config.mute_pin)] {
            let Some(pin) = pin else { continue };
            let line = request(pin, &|line| {
                line.as_input().with_bias(bias).with_edge_detection(EdgeDetection::BothEdges);
                if config.active_low {
                    line.as_active_low();
                }
            })?;
            buttons.push(watch(button, line, signals.clone())?);
        }
        Ok(Self { lamp, sense: sense.transpose()?, case: case.transpose()?, buttons })
    }
}

fn watch(button: Button, line: Request, signals: mpsc::UnboundedSender<PanelEvent>) -> Result<Watched, PanelError> {
    let line = Arc::new(line);
    let watched = line.clone();
    let thread = Worker::spawn("panel", OnDrop::Join, move |stop| {
        while !stop.is_requested() {
            let seen = watched.wait_edge_event(LOOK).and_then(|there| {
                // The level now could be a later one: the edge has the level that it led to. The guard polls the level
                // each second, in case an edge is lost.
                if there { watched.read_edge_event().map(Some) } else { Ok(None) }
            });
            let signal = match seen {
                Ok(None) => continue,
                Ok(Some(edge)) => {
                    let down = edge.kind == EdgeKind::Rising;
                    PanelEvent::LevelChanged { button, down, at: Some(Duration::from_nanos(edge.timestamp_ns)) }
                }
                Err(error) => PanelEvent::ButtonLost(format!("the {button:?} button cannot be read: {error}")),
            };
            let lost = matches!(signal, PanelEvent::ButtonLost(_));
            if signals.send(signal).is_err() || lost {
                return;
            }
        }
    });
    Ok(Watched { button, line, _thread: thread.map_err(|error| PanelError(error.to_string()))? })
}

impl PanelDriver for CdevPanel {
    fn name(&self) -> &'static str {
        "cdev"
    }

    fn drive(&mut self, _lamp: LampPattern, lit: bool) -> Result<(), PanelError> {
        let value = if lit { Value::Active } else { Value::Inactive };
        self.lamp.set_lone_value(value).map_err(|error| PanelError(format!("the lamp cannot be driven: {error}")))?;
        match &self.sense {
            None => Ok(()),
            Some(sense) => read_back(lit, || {
                sense.lone_value().map(|value| value == Value::Active).map_err(|error| PanelError(error.to_string()))
            }),
        }
    }

    fn is_down(&mut self, button: Button) -> Result<bool, PanelError> {
        let Some(watched) = self.buttons.iter().find(|watched| watched.button == button) else { return Ok(false) };
        let value = watched.line.lone_value();
        value
            .map(|value| value == Value::Active)
            .map_err(|error| PanelError(format!("the button cannot be read: {error}")))
    }

    fn is_case_open(&mut self) -> Result<bool, PanelError> {
        let Some(case) = &self.case else { return Ok(false) };
        let value = case.lone_value();
        value
            .map(|value| value != Value::Active)
            .map_err(|error| PanelError(format!("the case's switch cannot be read: {error}")))
    }
}
