//! The ISO base media file format (ISO/IEC 14496-12), as far as clipcore needs it: reading the fragmented
//! files that ffmpeg and our own recorder write, writing fragments, and writing faststart files.
//!
//! Sample entries (`stsd`) are carried as opaque bytes, so any codec that ffmpeg can put into MP4 passes
//! through; only what the exact cut must understand (H.264) is looked into.

mod boxes;
mod entry;
mod progressive;
mod reader;
mod writer;

pub use boxes::{BoxReader, Header as BoxHeader};
pub use entry::{aac_config, aac_object_type, avc_sample_entry, with_avc_config};
pub use progressive::{Edit, ProgressiveTrack, ProgressiveWriter, ReadSample, read_progressive};
pub use reader::{FragmentReader, Read, ReaderLimits, Row};
pub use writer::{Fragment, FragmentSample, fragment, init_segment, uuid_box};
