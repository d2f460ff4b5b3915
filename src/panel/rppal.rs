//! The Raspberry Pi's GPIO, through its registers.

use rppal::gpio::{Bias, Gpio, InputPin, OutputPin, Trigger};
use tokio::sync::mpsc;

use super::driver::{Button, PanelDriver, PanelError, PanelEvent, read_back};
use crate::config;
use consent::LampPattern;

/// Pins of a Pi's header.
#[derive(Debug)]
pub(super) struct RppalPanel {
    lamp: OutputPin,
    sense: Option<InputPin>,
    record: InputPin,
    mute: Option<InputPin>,
    case: Option<InputPin>,
    active_low: bool,
}

/// Whether this is a Raspberry Pi.
pub(super) fn is_pi() -> bool {
    rppal::system::DeviceInfo::new().is_ok()
}

fn explain(pin: u32, error: &rppal::gpio::Error) -> PanelError {
    PanelError(format!(
        "pin {pin}: {error}; see the pins in [panel] (BCM numbers, 0 to 27), and that the guard's user is in the group gpio"
    ))
}

impl RppalPanel {
    pub(super) fn open(
        config: &config::Panel,
        signals: &mpsc::UnboundedSender<PanelEvent>,
    ) -> Result<Self, PanelError> {
        let gpio = Gpio::new().map_err(|error| {
            PanelError(format!("the Raspberry Pi's GPIO cannot be used: {error}; add the guard's user to the group gpio, or set [panel] backend = \"cdev\""))
        })?;
        let pin = |number: u32| {
            let small = u8::try_from(number).map_err(|_| PanelError(format!("a Raspberry Pi has no pin {number}")))?;
            gpio.get(small).map_err(|error| explain(number, &error))
        };
        let bias = if config.active_low { Bias::PullUp } else { Bias::PullDown };
        let button = |number: u32, button: Button| {
            let mut input = pin(number)?.into_input();
            input.set_bias(bias);
            let (signals, active_low) = (signals.clone(), config.active_low);
            // The level could be stale here: the edge has the level that it led to.
            let told = move |event: rppal::gpio::Event| {
                let down = (event.trigger == Trigger::FallingEdge) == active_low;
                let _ = signals.send(PanelEvent::LevelChanged { button, down, at: Some(event.timestamp) });
            };
            input.set_async_interrupt(Trigger::Both, None, told).map_err(|error| explain(number, &error))?;
            Ok(input)
        };
        let case = config.case_pin.map(|number| {
            let mut input = pin(number)?.into_input();
            input.set_bias(bias);
            Ok(input)
        });
        let mut lamp = pin(config.lamp_pin)?.into_output_low();
        // A guard that dies must not switch the lamp off before capture has ended.
        lamp.set_reset_on_drop(false);
        Ok(Self {
            lamp,
            sense: config.lamp_sense_pin.map(|number| pin(number).map(rppal::gpio::Pin::into_input)).transpose()?,
            record: button(config.button_pin, Button::Record)?,
            mute: config.mute_pin.map(|number| button(number, Button::Mute)).transpose()?,
            case: case.transpose()?,
            active_low: config.active_low,
        })
    }
}

impl PanelDriver for RppalPanel {
    fn name(&self) -> &'static str {
        "rppal"
    }

    fn drive(&mut self, _lamp: LampPattern, lit: bool) -> Result<(), PanelError> {
        if lit {
            self.lamp.set_high();
        } else {
            self.lamp.set_low();
        }
        match &self.sense {
            None => Ok(()),
            Some(sense) => read_back(lit, || Ok(sense.is_high())),
        }
    }

    fn is_down(&mut self, button: Button) -> Result<bool, PanelError> {
        let input = match button {
            Button::Record => Some(&self.record),
            Button::Mute => self.mute.as_ref(),
        };
        Ok(input.is_some_and(|input| input.is_low() == self.active_low))
    }

    fn is_case_open(&mut self) -> Result<bool, PanelError> {
        Ok(self.case.as_ref().is_some_and(|case| case.is_low() != self.active_low))
    }
}
