//! The pipelines of one session, from camera and microphone to the encoders' queues. Devices have pipelines of their
//! own (`input`), and so has the video encoder (`encoder`); the one here processes and encodes audio. Frame sinks push
//! what the encoders produce into the queues:
//!
//! ```text
//! camera:     v4l2src … video-caps ! camera-out  ─ switch ─ masks, text ─►  coder-in ! (scaler) ! encoder … video-tap
//! microphone: alsasrc … caps ! microphone-out    ─ switch ─►  audio-in ! audio-convert ! audio-resample … audio-tap
//! ```
//! Media files are decoded inside the pipeline here: nobody can unplug them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::audio::{self, AudioCodec, LevelMeter};
use crate::capture::compositor::{Compositor, OverlayRenderer};
use crate::capture::encoder::{EncoderControl, Profile, SinkFactory, VideoEncoder, frame_sink};
use crate::capture::error::CaptureError;
use crate::capture::gst::{CLOSE_TIMEOUT, Timebase, close_within, pop_error};
use crate::capture::guard_link::{GuardLink, Lease};
use crate::capture::input::{
    DeviceContext, DeviceSupervisor, InputSwitch, MediaFile, SessionCamera, SourceSpec, add_normalizer,
    describe_microphone, device_error, resolve_camera, resolve_microphone,
};
use crate::capture::media::Track;
use crate::capture::queue::EncoderQueues;
use crate::capture::session_context::SessionContext;
use crate::clock::Clock;
use crate::config::{Audio, AudioSource, Config, Video, VideoSource};

/// A file that is not decoded this long after it was opened never will be.
const PREROLL_TIMEOUT: Duration = Duration::from_secs(10);

/// Camera and microphone, which open in the background while encoder and servers start.
pub(crate) struct Inputs {
    sources: Sources,
    session_camera: SessionCamera,
    session: SessionContext,
    devices: DeviceSupervisor,
    /// `None` where a file takes the device's place.
    camera: Option<Arc<InputSwitch>>,
    microphone: Option<Arc<InputSwitch>>,
}

/// The configured sources, with `auto` resolved.
struct Sources {
    video: Video,
    audio: Audio,
}

impl Inputs {
    /// Starts the session's clock and opens the camera and, `with_audio`, the microphone.
    pub(crate) fn open(config: &Config, with_audio: bool, guard_link: &GuardLink) -> Result<Self, CaptureError> {
        let sources = resolve_sources(config, with_audio);
        let Sources { video, audio } = &sources;
        let clock = Clock::start();
        let is_live = video.source != VideoSource::File;
        let camera = is_live.then(|| Arc::new(InputSwitch::video(video.fps, clock)));
        let is_live = matches!(audio.source, AudioSource::Alsa | AudioSource::Test);
        let microphone = is_live.then(|| Arc::new(InputSwitch::audio(clock)));
        let session_camera = SessionCamera::new(video.clone());
        let mut specs = Vec::new();
        specs.extend(camera.clone().map(|switch| (SourceSpec::Camera(session_camera.clone()), switch)));
        specs.extend(microphone.clone().map(|switch| (SourceSpec::Microphone(audio.clone()), switch)));
        let level_meter = (audio.source != AudioSource::None).then(Arc::default);
        let session =
            SessionContext { timebase: Timebase::start(), level_meter, encoder_control: EncoderControl::default() };
        let context = DeviceContext {
            timebase: session.timebase.clone(),
            lease: guard_link.lease(),
            event_sender: guard_link.event_sender(),
            clock,
            lost_limit: config.capture.device_lost_limit,
        };
        let devices = DeviceSupervisor::start(specs, &context)?;
        Ok(Self { sources, session_camera, session, devices, camera, microphone })
    }

    pub(crate) fn session(&self) -> &SessionContext {
        &self.session
    }
}

/// Resolves `auto` once for the session: later it would find no microphone while that is unplugged.
fn resolve_sources(config: &Config, with_audio: bool) -> Sources {
    let video = Video { source: resolve_camera(&config.video), ..config.video.clone() };
    let source = if with_audio { resolve_microphone(&config.audio) } else { AudioSource::None };
    Sources { video, audio: Audio { source, ..config.audio.clone() } }
}

/// The running pipelines. Dropping them closes camera and microphone.
pub(crate) struct CaptureGraph {
    /// `None` once they are closed, which comes first.
    devices: Option<DeviceSupervisor>,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    encoder: Arc<VideoEncoder>,
    has_audio: bool,
    files: Vec<MediaFile>,
    /// The last elements in which the data of files has the file's own time; behind them it has the session's.
    file_ends: Vec<gst::Element>,
    /// Draws the overlay for as long as the session lasts.
    _overlay: Option<OverlayRenderer>,
    session_camera: SessionCamera,
    audio_description: String,
}

impl Drop for CaptureGraph {
    fn drop(&mut self) {
        self.devices = None;
        close_within(&self.pipeline, CLOSE_TIMEOUT);
    }
}

impl CaptureGraph {
    /// Starts the encoders of `inputs`. Their frames go into `queues` while the lease is valid.
    pub(crate) fn start(
        inputs: Inputs,
        config: &Config,
        queues: &EncoderQueues,
        guard_link: &GuardLink,
    ) -> Result<Self, CaptureError> {
        let Inputs { sources: Sources { video, audio }, session_camera, session, devices, camera, microphone } = inputs;
        let pipeline = gst::Pipeline::with_name("capture");
        let bus = pipeline.bus().ok_or_else(|| CaptureError::internal("a pipeline without a bus"))?;
        let overlay = OverlayRenderer::start(&config.overlay, (video.width, video.height))?;
        let encoder = build_encoder(config, &video, overlay.as_ref(), queues, guard_link)?;
        session.encoder_control.attach(&encoder);
        if let Some(switch) = camera {
            encoder.tell_rate(session_camera.wanted_rate());
            // Pictures do not wait for the elements of the audio.
            connect_camera(&switch, &encoder);
        }
        let level_meter = session.level_meter.as_ref();
        let chain = level_meter.map(|meter| build_audio(&pipeline, &audio, queues, &guard_link.lease(), meter));
        let chain = chain.transpose()?;
        let microphone = match (microphone, &chain) {
            (Some(switch), Some(chain)) => Some((switch, audio::add_audio_input(&pipeline, &chain.first)?)),
            _ => None,
        };
        let (files, mut file_ends) = add_files(&pipeline, &video, &audio, &encoder, chain.as_ref())?;
        let has_audio = chain.is_some();
        // Behind `webrtcdsp`, which counts an offset twice.
        file_ends.extend(chain.filter(|_| audio.source == AudioSource::File).map(|chain| chain.last));
        let this = Self {
            devices: Some(devices),
            pipeline,
            bus,
            encoder,
            has_audio,
            files,
            file_ends,
            _overlay: overlay,
            session_camera,
            audio_description: describe_microphone(&audio),
        };
        if this.files.is_empty() {
            this.start_live(&session.timebase)?;
        } else {
            this.start_with_files(&session.timebase)?;
        }
        if let Some((switch, input)) = microphone {
            connect_microphone(&switch, input);
        }
        Ok(this)
    }

    fn start_live(&self, timebase: &Timebase) -> Result<(), CaptureError> {
        timebase.apply_to(&self.pipeline);
        self.play()
    }

    /// Files begin with the first picture that is ready, however long that takes.
    fn start_with_files(&self, timebase: &Timebase) -> Result<(), CaptureError> {
        self.pipeline.set_state(gst::State::Paused).map_err(|_| self.start_error())?;
        for file in &self.files {
            file.wait_until_decoded(PREROLL_TIMEOUT, || self.check())?;
            file.loop_from_start()?;
        }
        let start = timebase.running_time();
        for pad in self.file_ends.iter().filter_map(|end| end.static_pad("src")) {
            pad.set_offset(i64::try_from(start.nseconds()).unwrap_or(0));
        }
        timebase.apply_from(&self.pipeline, start);
        self.play()
    }

    fn play(&self) -> Result<(), CaptureError> {
        self.pipeline.set_state(gst::State::Playing).map(|_| ()).map_err(|_| self.start_error())
    }

    fn start_error(&self) -> CaptureError {
        let unknown =
            || CaptureError::source(format!("the picture from {} does not start", self.session_camera.describe()));
        self.check().err().unwrap_or_else(unknown)
    }

    pub(crate) fn has_audio(&self) -> bool {
        self.has_audio
    }

    /// Changes the cap of the picture's bitrate while it runs.
    ///
    /// # Errors
    /// The encoder cannot; nothing changes.
    pub(crate) fn set_bitrate_cap(&self, kbps: u32) -> Result<(), CaptureError> {
        self.encoder.set_bitrate_cap(kbps)
    }

    /// Checks devices, encoder and pipeline; to be called some times a second. A file that ends starts again. A device
    /// that is lost is an error only once it has been lost for too long.
    pub(crate) fn check(&self) -> Result<(), CaptureError> {
        if let Some(devices) = &self.devices {
            devices.check()?;
        }
        self.encoder.supervise()?;
        let mut result = Ok(());
        let posted = pop_error(&self.bus, |message| {
            let kind = message.type_();
            if kind == gst::MessageType::SegmentDone {
                if let Some(file) = self.files.iter().find(|file| file.owns(message)).or(self.files.first()) {
                    result = result.clone().and(file.restart_segment());
                }
            } else if kind == gst::MessageType::Eos {
                result = Err(CaptureError::source(format!("{} came to its end", self.session_camera.describe())));
            }
        });
        match posted {
            Some(posted) => Err(device_error(&posted, &self.session_camera.describe(), &self.audio_description)),
            None => result,
        }
    }
}

fn build_encoder(
    config: &Config,
    video: &Video,
    overlay: Option<&OverlayRenderer>,
    queues: &EncoderQueues,
    guard_link: &GuardLink,
) -> Result<Arc<VideoEncoder>, CaptureError> {
    let make_sink: SinkFactory = {
        let (lease, queues) = (guard_link.lease(), queues.video.clone());
        Box::new(move || frame_sink("video-tap", Track::Video, lease.clone(), queues.clone()).upcast())
    };
    // Opus is for WHIP alone.
    let profile = if queues.opus.is_empty() { Profile::Main } else { Profile::ConstrainedBaseline };
    // Behind the input switch, so that whatever takes the camera's place is masked too.
    let compositor = Compositor::new(config.masks.clone(), overlay, (video.width, video.height));
    VideoEncoder::start(video, profile, compositor, make_sink, &guard_link.event_sender())
}

fn connect_camera(switch: &InputSwitch, encoder: &Arc<VideoEncoder>) {
    let encoder = encoder.clone();
    switch.connect(Box::new(move |picture, caps, force_keyframe| encoder.push_picture(picture, caps, force_keyframe)));
}

fn connect_microphone(switch: &InputSwitch, input: gst_app::AppSrc) {
    switch.connect(Box::new(move |samples, _, _| {
        // A pipeline that accepts no more has an error on its bus.
        let _ = input.push_buffer(samples);
    }));
}

/// The elements that process audio before it is encoded.
struct AudioChain {
    first: gst::Element,
    last: gst::Element,
}

/// Adds processing, mute and level meter, and an encoder with its sink for each codec that has a queue.
fn build_audio(
    pipeline: &gst::Pipeline,
    audio: &Audio,
    queues: &EncoderQueues,
    lease: &Arc<Lease>,
    level_meter: &Arc<LevelMeter>,
) -> Result<AudioChain, CaptureError> {
    let (first, last) = audio::add_audio_processing(pipeline, audio)?;
    audio::silence_while_muted(&last, lease)?;
    for (codec, name, queues) in
        [(AudioCodec::Aac, "audio-tap", &queues.aac), (AudioCodec::Opus, "opus-tap", &queues.opus)]
    {
        if !queues.is_empty() {
            let sink = frame_sink(name, Track::Audio, lease.clone(), queues.clone());
            let encoder = audio::add_audio_encoder(pipeline, audio, codec)?;
            pipeline.add(&sink)?;
            encoder.link(&sink)?;
        }
    }
    audio::measure(level_meter, &last);
    Ok(AudioChain { first, last })
}

/// Adds the sources that are files and links them to encoder and audio chain. Returns them, and the last elements that
/// their pictures pass.
fn add_files(
    pipeline: &gst::Pipeline,
    video: &Video,
    audio: &Audio,
    encoder: &Arc<VideoEncoder>,
    audio_chain: Option<&AudioChain>,
) -> Result<(Vec<MediaFile>, Vec<gst::Element>), CaptureError> {
    let (mut files, mut ends) = (Vec::new(), Vec::new());
    let audio_input = audio_chain.map(|chain| &chain.first);
    let mut audio_file = (audio.source == AudioSource::File).then_some(Path::new(&audio.device));
    if video.source == VideoSource::File {
        let (first, last) = add_normalizer(pipeline, video)?;
        let sink = encoder.input_sink()?;
        pipeline.add(&sink)?;
        last.link(&sink)?;
        ends.push(last);
        // One file for both is decoded once.
        let shared_input = audio_input.filter(|_| audio_file == Some(&video.device));
        audio_file = audio_file.filter(|_| shared_input.is_none());
        files.push(MediaFile::add(pipeline, &video.device, "video-source", Some(&first), shared_input)?);
    }
    if let (Some(file), Some(input)) = (audio_file, audio_input) {
        files.push(MediaFile::add(pipeline, file, "audio-source", None, Some(input))?);
    }
    Ok((files, ends))
}
