//! Pictures in, one by one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::app::State;
use super::extract::{Params, Stream};
use super::problem::Problem;
use crate::event::media::VideoFrame;
use crate::{Error, ErrorKind, Result, Timestamp, WallTime};

/// The longest side of a picture: a small file can unpack to a large one.
const MAX_SIDE: usize = 4096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// Seconds on the stream's timeline.
    at: Option<f64>,
    /// Civil time; now where neither is said.
    time: Option<WallTime>,
}

/// `POST /v1/streams/{id}/frames`: a JPEG picture is looked at, and forgotten.
pub(super) async fn post(
    Shared(app): State,
    Stream(stream): Stream,
    Params(when): Params<When>,
    body: Bytes,
) -> Result<Response, Problem> {
    let at = when.at.map(Timestamp::try_from_secs_f64).transpose()?;
    let frame = tokio::task::spawn_blocking(move || decode(&body)).await.map_err(|error| {
        Error::new(ErrorKind::Internal, "decoding a picture has panicked").with_source(error)
    })??;
    let at = app.host.picture(&stream, at, when.time, frame).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"at": at}))).into_response())
}

/// A JPEG as a frame.
///
/// # Errors
/// `InvalidInput` where it is none, or too large.
pub fn decode(jpeg: &[u8]) -> Result<VideoFrame> {
    let wrong = |error: String| {
        Error::invalid("this is no JPEG picture that can be read")
            .with_source(error)
            .with_hint(format!("send one of at most {MAX_SIDE} pixels a side as the body"))
    };
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let rgb = decoder.decode().map_err(|e| wrong(e.to_string()))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    if rgb.len() != width * height * 3 || rgb.is_empty() {
        return Err(wrong("its size does not fit its pixels".to_owned()));
    }
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    Ok(VideoFrame { width: side(width), height: side(height), rgb: rgb.into() })
}
