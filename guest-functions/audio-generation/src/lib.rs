//! Makes a tune of a text: a tone for each letter, written as a WAV file.
//!
//! The samples are the same to the bit on every target: the sine is a polynomial, which takes sums
//! and products alone, where the standard library's is the platform's own.

use std::io::{self, Cursor, Seek, SeekFrom, Write};

use hound::{SampleFormat, WavSpec, WavWriter};
use lumos_abi::{Error, Function};

/// Samples a second, as on a telephone.
pub const SAMPLE_RATE_HZ: u32 = 8000;
/// How many samples a character sounds for.
pub const SAMPLES_PER_CHARACTER: usize = 32;
/// The longest text in bytes: its tune takes 256 MiB.
pub const LONGEST_TEXT_BYTES: usize = 4 << 20;

/// How loud a tone is at most, of 32767.
const AMPLITUDE: f64 = 20_000.0;
/// How many samples a tone swells and fades for, so that it does not click.
const RAMP: usize = 8;
/// How loud each sample of a tone is at most.
const ENVELOPE: [f64; SAMPLES_PER_CHARACTER] = envelope();

/// How many tones there are for letters and digits: a digit sounds two octaves above a letter.
const TONES: usize = 34;
/// Their frequencies in Hz.
const FREQUENCIES: [f64; TONES] = frequencies();
/// What other characters sound as.
const LOW_TONE_HZ: f64 = 110.0;

/// How many samples hound is given at once: it keeps a copy of them.
const BLOCK_SAMPLES: usize = 4096;
/// The length of a file without samples.
const HEADER_BYTES: usize = 44;

/// The function. It takes a text and gives a WAV file of one channel with 16 bits a sample.
///
/// A letter sounds as one of the tones from the A at 220 Hz upwards, a digit as one two octaves
/// higher, a blank not at all, and any other character as a low tone.
#[derive(Debug)]
pub struct AudioGeneration;

lumos_abi::export!(crate::AudioGeneration);

impl Function for AudioGeneration {
    type Input<'r> = &'r str;
    type Output<'r> = Vec<i16>;

    fn decode(request: &[u8]) -> Result<&str, Error> {
        if request.len() > LONGEST_TEXT_BYTES {
            return Err(Error(format!(
                "a text of {} bytes is longer than {LONGEST_TEXT_BYTES}",
                request.len()
            )));
        }
        str::from_utf8(request).map_err(|error| {
            Error(format!("the text is not UTF-8 from byte {} on", error.valid_up_to()))
        })
    }

    fn compute(text: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let mut samples = Vec::with_capacity(text.len() * SAMPLES_PER_CHARACTER);
        // The phase goes on from tone to tone, so that nothing jumps.
        let mut turns = 0.0;
        for character in text.chars() {
            let Some(frequency) = frequency_hz(character) else {
                samples.extend([0; SAMPLES_PER_CHARACTER]);
                continue;
            };
            let step = frequency / f64::from(SAMPLE_RATE_HZ);
            samples.extend(ENVELOPE.map(|loudness| {
                let sample = nearest(loudness * sine(turns));
                turns += step;
                if turns >= 1.0 {
                    turns -= 1.0;
                }
                sample
            }));
        }
        Ok(samples)
    }

    fn encode(samples: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let failed = |error: hound::Error| Error(format!("the WAV cannot be written: {error}"));
        let spec = WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE_HZ,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        response.reserve(HEADER_BYTES + samples.len() * 2);
        let mut writer = WavWriter::new(Tail::of(response), spec).map_err(failed)?;
        for samples in samples.chunks(BLOCK_SAMPLES) {
            let mut block = writer.get_i16_writer(samples.len() as u32);
            samples.iter().for_each(|sample| block.write_sample(*sample));
            block.flush().map_err(failed)?;
        }
        writer.finalize().map_err(failed)
    }
}

const fn envelope() -> [f64; SAMPLES_PER_CHARACTER] {
    let mut envelope = [AMPLITUDE; SAMPLES_PER_CHARACTER];
    let mut place = 0;
    while place < RAMP {
        let loudness = AMPLITUDE * place as f64 / RAMP as f64;
        envelope[place] = loudness;
        envelope[SAMPLES_PER_CHARACTER - 1 - place] = loudness;
        place += 1;
    }
    envelope
}

/// From the A at 220 Hz upwards.
const fn frequencies() -> [f64; TONES] {
    let mut frequencies = [220.0; TONES];
    let mut tone = 1;
    while tone < TONES {
        // The twelfth root of two.
        frequencies[tone] = frequencies[tone - 1] * 1.059_463_094_359_295_3;
        tone += 1;
    }
    frequencies
}

/// The tone of a character; none for silence.
fn frequency_hz(character: char) -> Option<f64> {
    let tone = match character {
        ' ' | '\n' | '\t' => return None,
        'a'..='z' => character as usize - 'a' as usize,
        'A'..='Z' => character as usize - 'A' as usize,
        '0'..='9' => 24 + character as usize - '0' as usize,
        _ => return Some(LOW_TONE_HZ),
    };
    Some(FREQUENCIES[tone])
}

/// The sine of `turns` full circles, from 0 to 1: Taylor's polynomial of degree 11 over a quarter
/// of a circle, which is off by less than a ten-millionth.
fn sine(turns: f64) -> f64 {
    // Into -1/4 to 1/4 of a circle, where the sine has each value once.
    let turns = if turns < 0.75 { turns } else { turns - 1.0 };
    let folded = turns.min(0.5 - turns);
    let x = folded * std::f64::consts::TAU;
    let square = x * x;
    let mut sum = -1.0 / 39_916_800.0;
    for coefficient in [1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0] {
        sum = sum * square + coefficient;
    }
    sum * x
}

/// The nearest whole number. `round` would be a call for each sample: neither target has an
/// instruction for it.
fn nearest(value: f64) -> i16 {
    (value + 0.5_f64.copysign(value)) as i16
}

/// A file at the end of a response: hound goes back to its start to complete the header.
struct Tail<'r> {
    bytes: Cursor<&'r mut Vec<u8>>,
    start: u64,
}

impl<'r> Tail<'r> {
    fn of(response: &'r mut Vec<u8>) -> Self {
        let start = response.len() as u64;
        let mut bytes = Cursor::new(response);
        bytes.set_position(start);
        Self { bytes, start }
    }
}

impl Write for Tail<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Tail<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(place) => SeekFrom::Start(self.start.saturating_add(place)),
            relative => relative,
        };
        Ok(self.bytes.seek(to)?.saturating_sub(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<Vec<u8>, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<AudioGeneration>(request, &mut response).map_err(|error| error.0)?;
        Ok(response)
    }

    #[test]
    fn the_sine_is_near_the_true_one() {
        for step in 0..10_000 {
            let turns = f64::from(step) / 10_000.0;
            let off = sine(turns) - (turns * std::f64::consts::TAU).sin();
            assert!(off.abs() < 1e-7, "{turns}: {off}");
        }
    }

    #[test]
    fn samples_are_rounded() {
        for (value, whole) in [(0.4, 0), (0.5, 1), (2.5, 3), (-0.4, 0), (-0.5, -1), (-2.6, -3)] {
            assert_eq!(nearest(value), whole);
        }
    }

    #[test]
    fn a_tone_swells_and_fades() {
        assert_eq!(ENVELOPE[..3], [0.0, 2500.0, 5000.0]);
        assert_eq!(ENVELOPE[RAMP..SAMPLES_PER_CHARACTER - RAMP], [AMPLITUDE; 16]);
        assert!(ENVELOPE.iter().eq(ENVELOPE.iter().rev()));
    }

    #[test]
    fn letters_have_their_tones() {
        assert_eq!((frequency_hz('a'), frequency_hz('A')), (Some(220.0), Some(220.0)));
        assert!((frequency_hz('m').unwrap() - 440.0).abs() < 1e-9);
        assert!((frequency_hz('0').unwrap() - 880.0).abs() < 1e-9);
        assert!((frequency_hz('9').unwrap() - 1480.0).abs() < 0.1);
        assert_eq!((frequency_hz('é'), frequency_hz(' ')), (Some(LOW_TONE_HZ), None));
    }

    #[test]
    fn the_file_is_a_wav_that_reads_back() {
        let file = answer("Hello, world 1".as_bytes()).unwrap();
        let reader = hound::WavReader::new(file.as_slice()).unwrap();
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, SAMPLE_RATE_HZ));
        let read: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
        assert_eq!(read, AudioGeneration::compute("Hello, world 1").unwrap());
        assert!(read.iter().any(|sample| sample.abs() > 15_000));
        let blank = 6 * SAMPLES_PER_CHARACTER;
        assert!(read[blank..blank + SAMPLES_PER_CHARACTER].iter().all(|s| *s == 0));
    }

    #[test]
    fn a_response_may_have_something_before_it() {
        let mut response = b"frame".to_vec();
        lumos_abi::invoke::<AudioGeneration>(b"ab", &mut response).unwrap();
        assert_eq!(response, [b"frame".as_slice(), &answer(b"ab").unwrap()].concat());
    }

    #[test]
    fn a_malformed_text_is_refused() {
        assert_eq!(answer(b"ab\xff").unwrap_err(), "the text is not UTF-8 from byte 2 on");
        let message = answer(&vec![b'a'; LONGEST_TEXT_BYTES + 1]).unwrap_err();
        assert_eq!(message, "a text of 4194305 bytes is longer than 4194304");
        assert_eq!(answer(b"").unwrap().len(), 44);
    }
}
