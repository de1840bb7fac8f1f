//! Any bytes as the configuration and the packets of AAC, decoded as the tap of a camera does: sound at 16 kHz, or an error.
#![no_main]

use clipcore::Timestamp;
use clipcore::event::media::AudioWindow;
use clipcore::media::mp4::{aac_config, aac_object_type};
use clipcore::source::media::To16k;
use libfuzzer_sys::fuzz_target;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoderOptions};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp as PacketTime};

// A byte that says how long the configuration is, the configuration, then packets, each after two bytes that say its length.
fuzz_target!(|bytes: &[u8]| {
    let Some((&len, rest)) = bytes.split_first() else { return };
    let (esds, mut packets) = rest.split_at(usize::from(len).min(rest.len()));
    if aac_object_type(esds) != Some(2) {
        return;
    }
    let config = aac_config(esds).expect("what says the object type is there");
    let mut params = AudioCodecParameters::new();
    params.for_codec(CODEC_ID_AAC).with_sample_rate(48_000).with_extra_data(config.into());
    let decoder =
        symphonia::default::get_codecs().make_audio_decoder(&params, &AudioDecoderOptions::default());
    let Ok(mut decoder) = decoder else { return };
    let (mut to_16k, mut at, mut buffer) = (To16k::default(), Timestamp::ZERO, Vec::new());
    while let Some((len, rest)) = packets.split_first_chunk::<2>() {
        let (packet, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)).min(rest.len()));
        packets = rest;
        let packet = Packet::new(0, PacketTime::new(0), Duration::new(1024), packet);
        let Ok(decoded) = decoder.decode(&packet) else { continue };
        buffer.resize(decoded.samples_interleaved(), 0.0);
        decoded.copy_to_slice_interleaved(&mut buffer[..]);
        let window = AudioWindow {
            rate: decoded.spec().rate(),
            channels: decoded.num_planes() as u16,
            samples: buffer.as_slice().into(),
        };
        let Ok(blocks) = to_16k.push(at, &window) else { return };
        assert!(blocks.iter().all(|(_, block)| block.samples.len() <= 16_000));
        at = window.end(at);
    }
});
