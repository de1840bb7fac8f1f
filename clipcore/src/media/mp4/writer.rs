use super::super::{Track, TrackKind};

/// Appends boxes to a byte vector; sizes are filled in when a box is closed.
#[derive(Debug, Default)]
pub(super) struct BoxWriter {
    pub(super) out: Vec<u8>,
}

impl BoxWriter {
    pub(super) fn boxed(&mut self, kind: &[u8; 4], fill: impl FnOnce(&mut Self)) {
        let at = self.out.len();
        self.u32(0);
        self.out.extend_from_slice(kind);
        fill(self);
        let len = (self.out.len() - at) as u32;
        self.out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    }

    pub(super) fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, fill: impl FnOnce(&mut Self)) {
        self.boxed(kind, |w| {
            w.u32(u32::from(version) << 24 | flags);
            fill(w);
        });
    }

    pub(super) fn u16(&mut self, n: u16) {
        self.out.extend_from_slice(&n.to_be_bytes());
    }
    pub(super) fn u32(&mut self, n: u32) {
        self.out.extend_from_slice(&n.to_be_bytes());
    }
    pub(super) fn u64(&mut self, n: u64) {
        self.out.extend_from_slice(&n.to_be_bytes());
    }
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
    pub(super) fn zeros(&mut self, n: usize) {
        self.out.resize(self.out.len() + n, 0);
    }

    pub(super) fn ftyp(&mut self, brands: &[&[u8; 4]]) {
        self.boxed(b"ftyp", |w| {
            w.bytes(brands[0]);
            w.u32(512);
            for brand in brands {
                w.bytes(*brand);
            }
        });
    }

    pub(super) fn mvhd(&mut self, timescale: u32, duration: u64, next_track: u32) {
        self.full(b"mvhd", 1, 0, |w| {
            w.zeros(16);
            w.u32(timescale);
            w.u64(duration);
            w.u32(0x0001_0000);
            w.u16(0x0100);
            w.zeros(10);
            w.matrix();
            w.zeros(24);
            w.u32(next_track);
        });
    }

    fn matrix(&mut self) {
        for n in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
            self.u32(n);
        }
    }

    pub(super) fn tkhd(&mut self, id: u32, track: &Track, duration: u64) {
        self.full(b"tkhd", 1, 3, |w| {
            w.zeros(16);
            w.u32(id);
            w.zeros(4);
            w.u64(duration);
            w.zeros(8);
            w.u16(0);
            w.u16(0);
            w.u16(if track.kind == TrackKind::Audio { 0x0100 } else { 0 });
            w.u16(0);
            w.matrix();
            w.u32(track.width << 16);
            w.u32(track.height << 16);
        });
    }

    /// `mdhd`, `hdlr` and the start of `minf`; `stbl` fills the sample tables.
    pub(super) fn mdia(&mut self, track: &Track, duration: u64, stbl: impl FnOnce(&mut Self)) {
        self.boxed(b"mdia", |w| {
            w.full(b"mdhd", 1, 0, |w| {
                w.zeros(16);
                w.u32(track.timescale);
                w.u64(duration);
                w.u16(0x55c4);
                w.u16(0);
            });
            w.full(b"hdlr", 0, 0, |w| {
                w.u32(0);
                let (kind, name): (&[u8; 4], &[u8]) = match track.kind {
                    TrackKind::Video => (b"vide", b"VideoHandler\0"),
                    TrackKind::Audio => (b"soun", b"SoundHandler\0"),
                };
                w.bytes(kind);
                w.zeros(12);
                w.bytes(name);
            });
            w.boxed(b"minf", |w| {
                match track.kind {
                    TrackKind::Video => w.full(b"vmhd", 0, 1, |w| w.zeros(8)),
                    TrackKind::Audio => w.full(b"smhd", 0, 0, |w| w.zeros(4)),
                }
                w.boxed(b"dinf", |w| {
                    w.full(b"dref", 0, 0, |w| {
                        w.u32(1);
                        w.full(b"url ", 0, 1, |_| {});
                    });
                });
                w.boxed(b"stbl", |w| {
                    w.bytes(&track.stsd);
                    stbl(w);
                });
            });
        });
    }
}

/// A `uuid` box.
pub fn uuid_box(id: &[u8; 16], content: &[u8]) -> Vec<u8> {
    let mut w = BoxWriter::default();
    w.boxed(b"uuid", |w| {
        w.bytes(id);
        w.bytes(content);
    });
    w.out
}

/// The header of a fragmented file: `ftyp` and `moov`. Track ids count from 1 in the order of `tracks`.
pub fn init_segment(tracks: &[Track]) -> Vec<u8> {
    let mut w = BoxWriter::default();
    w.ftyp(&[b"iso5", b"iso6", b"mp41"]);
    w.boxed(b"moov", |w| {
        w.mvhd(1000, 0, tracks.len() as u32 + 1);
        for (track, id) in tracks.iter().zip(1..) {
            w.boxed(b"trak", |w| {
                w.tkhd(id, track, 0);
                w.mdia(track, 0, |w| {
                    w.full(b"stts", 0, 0, |w| w.u32(0));
                    w.full(b"stsc", 0, 0, |w| w.u32(0));
                    w.full(b"stsz", 0, 0, |w| w.zeros(8));
                    w.full(b"stco", 0, 0, |w| w.u32(0));
                });
            });
        }
        w.boxed(b"mvex", |w| {
            for id in 1..=tracks.len() as u32 {
                w.full(b"trex", 0, 0, |w| {
                    w.u32(id);
                    w.u32(1);
                    w.zeros(12);
                });
            }
        });
    });
    w.out
}

/// One sample of a fragment to be written.
#[derive(Debug, Clone, Copy)]
pub struct FragmentSample {
    /// Bytes of media data.
    pub size: u32,
    /// Duration in ticks.
    pub duration: u32,
    /// Presentation minus decode time in ticks.
    pub offset: i32,
    /// Whether decoding can begin here.
    pub sync: bool,
}

/// One track's part of a fragment.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// Index of the track; its id is one more.
    pub track: usize,
    /// Decode time of the first sample in ticks.
    pub dts: i64,
    /// The samples in decode order.
    pub samples: Vec<FragmentSample>,
}

/// `moof` and the header of `mdat`; the media data of the parts, in their order, is to follow.
pub fn fragment(sequence: u32, parts: &[Fragment]) -> Vec<u8> {
    let mut w = BoxWriter::default();
    let mut data_offset_at = Vec::with_capacity(parts.len());
    w.boxed(b"moof", |w| {
        w.full(b"mfhd", 0, 0, |w| w.u32(sequence));
        for part in parts {
            w.boxed(b"traf", |w| {
                w.full(b"tfhd", 0, 0x02_0000, |w| w.u32(part.track as u32 + 1));
                w.full(b"tfdt", 1, 0, |w| w.u64(part.dts as u64));
                w.full(b"trun", 1, 0xf01, |w| {
                    w.u32(part.samples.len() as u32);
                    data_offset_at.push(w.out.len());
                    w.u32(0);
                    for s in &part.samples {
                        w.u32(s.duration);
                        w.u32(s.size);
                        w.u32(if s.sync { 0x0200_0000 } else { 0x0101_0000 });
                        w.u32(s.offset as u32);
                    }
                });
            });
        }
    });
    let sizes = parts.iter().map(|p| p.samples.iter().map(|s| u64::from(s.size)).sum::<u64>());
    let mut offset = w.out.len() as u64 + 8;
    for (at, size) in data_offset_at.into_iter().zip(sizes.clone()) {
        w.out[at..at + 4].copy_from_slice(&(offset as u32).to_be_bytes());
        offset += size;
    }
    w.u32((sizes.sum::<u64>() + 8) as u32);
    w.bytes(b"mdat");
    w.out
}
