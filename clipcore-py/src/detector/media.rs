//! Windows of sound and pictures as numpy arrays over the library's own memory.

use std::sync::Arc;

use clipcore::event::media::{Audio16k, AudioWindow, VideoFrame};
use clipcore::event::{AnyEvent, Event, Header, Stamped};
use clipcore::{CameraId, Timestamp};
use numpy::ndarray::{ArrayView, Dimension, IntoDimension};
use numpy::{Element, PyArray, PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray3};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A read-only array over memory that `owner` keeps alive for as long as the array lives.
///
/// # Safety
/// `data` must lie in memory that `owner` holds and never frees, moves or changes.
unsafe fn borrowed<'py, T: Element, D: Dimension>(
    data: &[T],
    shape: impl IntoDimension<Dim = D>,
    owner: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray<T, D>>> {
    let shape = shape.into_dimension();
    let view = ArrayView::from_shape(shape, data).map_err(|e| PyValueError::new_err(e.to_string()))?;
    // SAFETY: the caller's promise is the one that is asked for here; `owner` becomes the array's base.
    let array = unsafe { PyArray::borrow_from_array(&view, owner) };
    array.try_readwrite().map_err(|e| PyValueError::new_err(e.to_string()))?.make_nonwriteable();
    Ok(array)
}

macro_rules! audio {
    ($name:ident, $python:literal, $event:ty) => {
        /// See `_clipcore.pyi`.
        #[pyclass(frozen, name = $python, module = "clipcore")]
        pub(crate) struct $name {
            window: $event,
            at: Timestamp,
        }

        impl $name {
            pub(super) fn new(window: $event, at: Timestamp) -> Self {
                Self { window, at }
            }
        }

        #[pymethods]
        impl $name {
            #[classattr]
            const KIND: &'static str = <$event as Event>::KIND;

            #[getter]
            fn samples<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<f32>>> {
                let samples = &slf.get().window.samples;
                // SAFETY: the object is frozen and holds an `Arc` of these samples, which nothing writes to.
                unsafe { borrowed(samples, samples.len(), slf.clone().into_any()) }
            }

            /// Where the samples lie in memory, for a test that they were not copied.
            #[getter]
            fn _address(&self) -> usize {
                self.window.samples.as_ptr() as usize
            }

            #[getter]
            fn start(&self) -> f64 {
                self.at.as_secs_f64()
            }

            #[getter]
            fn end(&self) -> f64 {
                self.end_at().as_secs_f64()
            }

            #[getter]
            fn rate(&self) -> u32 {
                self.format().0
            }

            #[getter]
            fn channels(&self) -> u16 {
                self.format().1
            }

            fn __len__(&self) -> usize {
                self.window.samples.len()
            }

            fn __repr__(&self) -> String {
                format!(
                    "{}(start={:.3}, end={:.3}, rate={}, samples={})",
                    $python,
                    self.start(),
                    self.end(),
                    self.rate(),
                    self.window.samples.len()
                )
            }
        }
    };
}

audio!(PyAudio16k, "Audio16k", Audio16k);
audio!(PyAudioWindow, "AudioWindow", AudioWindow);

impl PyAudio16k {
    fn end_at(&self) -> Timestamp {
        let us = self.window.samples.len() as u64 * 1_000_000 / u64::from(Audio16k::RATE);
        self.at.offset_micros(us as i64)
    }

    fn format(&self) -> (u32, u16) {
        (Audio16k::RATE, 1)
    }
}

impl PyAudioWindow {
    fn end_at(&self) -> Timestamp {
        self.window.end(self.at)
    }

    fn format(&self) -> (u32, u16) {
        (self.window.rate, self.window.channels)
    }
}

/// See `_clipcore.pyi`.
#[pyclass(frozen, name = "VideoFrame", module = "clipcore")]
pub(crate) struct PyVideoFrame {
    frame: VideoFrame,
}

impl PyVideoFrame {
    pub(super) fn new(frame: VideoFrame) -> Self {
        Self { frame }
    }
}

#[pymethods]
impl PyVideoFrame {
    #[classattr]
    const KIND: &'static str = VideoFrame::KIND;

    #[getter]
    fn pixels<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let frame = &slf.get().frame;
        let shape = (frame.height as usize, frame.width as usize, 3);
        // SAFETY: the object is frozen and holds an `Arc` of these pixels, which nothing writes to.
        unsafe { borrowed(&frame.rgb, shape, slf.clone().into_any()) }
    }

    /// Where the pixels lie in memory, for a test that they were not copied.
    #[getter]
    fn _address(&self) -> usize {
        self.frame.rgb.as_ptr() as usize
    }

    #[getter]
    fn width(&self) -> u32 {
        self.frame.width
    }

    #[getter]
    fn height(&self) -> u32 {
        self.frame.height
    }

    fn __repr__(&self) -> String {
        format!("VideoFrame(height={}, width={})", self.frame.height, self.frame.width)
    }
}

/// A window or a picture from Python as an event at `at`; this copies.
pub(crate) fn local(
    mut header: Header,
    kind: &str,
    data: &Bound<'_, PyAny>,
    rate: u32,
) -> PyResult<AnyEvent> {
    header.camera = Some(CameraId::main());
    if kind == VideoFrame::KIND {
        let pixels: PyReadonlyArray3<'_, u8> = data.extract()?;
        let view = pixels.as_array();
        let (height, width, depth) = view.dim();
        if depth != 3 {
            return Err(PyValueError::new_err(format!(
                "a picture is [height, width, 3], not [{height}, {width}, {depth}]"
            )));
        }
        let rgb: Arc<[u8]> = view.iter().copied().collect();
        let frame = VideoFrame { width: width as u32, height: height as u32, rgb };
        return Ok(AnyEvent::local(Stamped::new(header, frame)));
    }
    let samples: PyReadonlyArray1<'_, f32> = data.extract()?;
    let samples: Arc<[f32]> = samples.as_array().iter().copied().collect();
    Ok(match kind == Audio16k::KIND {
        true => AnyEvent::local(Stamped::new(header, Audio16k { samples })),
        false => AnyEvent::local(Stamped::new(header, AudioWindow { rate, channels: 1, samples })),
    })
}
