//! Simulates the Sun and its four largest planets: floating-point work on a few registers.
//!
//! The orbits are those of the benchmark `n-body` of the Computer Language Benchmarks Game:
//! astronomical units, days, and masses in which the Sun's is 4 pi^2. Sums, products, quotients
//! and square roots are all that it takes, which IEEE 754 defines to the last bit.

use std::io::Write;

use lumos_abi::{Error, Function};

/// The most steps: ten times those of the paper's largest payload.
pub const MOST_STEPS: u32 = 25_000_000;

/// The length of a step in years.
const STEP: f64 = 0.01;
const PI: f64 = std::f64::consts::PI;
/// The mass of the Sun.
const SOLAR_MASS: f64 = 4.0 * PI * PI;
const DAYS_PER_YEAR: f64 = 365.24;

/// The function. It takes a number of steps in decimal digits and gives a line of JSON with the
/// system's energy before and after, and a hash of where the bodies end:
/// `{"steps":1000,"before":-0.169075164,"after":-0.169087605,"checksum":...}`.
#[derive(Debug)]
pub struct NBody;

lumos_abi::export!(crate::NBody);

/// A body: where it is, how fast it moves, and its mass.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Body {
    position: [f64; 3],
    velocity: [f64; 3],
    mass: f64,
}

/// How a simulation ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The number of steps.
    pub steps: u32,
    /// The energy at the start.
    pub before: f64,
    /// The energy at the end.
    pub after: f64,
    /// A hash of the bits of all positions at the end, modulo 2^64.
    pub checksum: u64,
}

impl Function for NBody {
    type Input<'r> = u32;
    type Output<'r> = Outcome;

    fn decode(request: &[u8]) -> Result<u32, Error> {
        let text = str::from_utf8(request).map_err(|_| Error::new("the steps are not text"))?;
        let steps: u32 = text
            .trim_ascii()
            .parse()
            .map_err(|error| Error(format!("the steps are not a decimal number: {error}")))?;
        if steps > MOST_STEPS {
            return Err(Error(format!("{steps} steps are more than {MOST_STEPS}")));
        }
        Ok(steps)
    }

    fn compute(steps: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let mut bodies = system();
        let before = energy(&bodies);
        for _ in 0..steps {
            advance(&mut bodies);
        }
        Ok(Outcome { steps, before, after: energy(&bodies), checksum: checksum(&bodies) })
    }

    fn encode(outcome: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let Outcome { steps, before, after, checksum } = outcome;
        writeln!(
            response,
            r#"{{"steps":{steps},"before":{before:.9},"after":{after:.9},"checksum":{checksum}}}"#
        )
        .map_err(Error::new)
    }
}

/// The Sun, Jupiter, Saturn, Uranus and Neptune, seen from their centre of mass.
fn system() -> [Body; 5] {
    let planet = |position, velocity: [f64; 3], mass: f64| Body {
        position,
        velocity: velocity.map(|part| part * DAYS_PER_YEAR),
        mass: mass * SOLAR_MASS,
    };
    let mut bodies = [
        planet([0.0; 3], [0.0; 3], 1.0),
        planet(
            [4.841_431_442_464_721, -1.160_320_044_027_428_4, -0.103_622_044_471_123_11],
            [0.001_660_076_642_744_037, 0.007_699_011_184_197_404, -0.000_069_046_001_697_206_3],
            0.000_954_791_938_424_326_6,
        ),
        planet(
            [8.343_366_718_244_58, 4.124_798_564_124_305, -0.403_523_417_114_321],
            [-0.002_767_425_107_268_624, 0.004_998_528_012_349_172, 0.000_023_041_729_757_376_393],
            0.000_285_885_980_666_130_8,
        ),
        planet(
            [12.894_369_562_139_131, -15.111_151_401_698_631, -0.223_307_578_892_655_73],
            [0.002_964_601_375_647_616, 0.002_378_471_739_594_81, -0.000_029_658_956_854_023_756],
            0.000_043_662_440_433_515_63,
        ),
        planet(
            [15.379_697_114_850_917, -25.919_314_609_987_964, 0.179_258_772_950_371_18],
            [0.002_680_677_724_903_893_2, 0.001_628_241_700_382_423, -0.000_095_159_225_451_971_59],
            0.000_051_513_890_204_661_145,
        ),
    ];
    let mut momentum = [0.0; 3];
    for body in &bodies {
        for (sum, part) in momentum.iter_mut().zip(body.velocity) {
            *sum += part * body.mass;
        }
    }
    bodies[0].velocity = momentum.map(|part| -part / SOLAR_MASS);
    bodies
}

/// One step: every pair attracts each other, then all move.
fn advance(bodies: &mut [Body; 5]) {
    for first in 0..bodies.len() {
        for second in first + 1..bodies.len() {
            let [near, far] = [bodies[first], bodies[second]];
            let apart = distance(&near, &far);
            let square = apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2];
            let pull = STEP / (square * square.sqrt());
            for (axis, apart) in apart.into_iter().enumerate() {
                bodies[first].velocity[axis] -= apart * far.mass * pull;
                bodies[second].velocity[axis] += apart * near.mass * pull;
            }
        }
    }
    for body in bodies {
        for (place, speed) in body.position.iter_mut().zip(body.velocity) {
            *place += STEP * speed;
        }
    }
}

fn distance(a: &Body, b: &Body) -> [f64; 3] {
    let ([ax, ay, az], [bx, by, bz]) = (a.position, b.position);
    [ax - bx, ay - by, az - bz]
}

/// Kinetic energy, less what holds every pair together.
fn energy(bodies: &[Body; 5]) -> f64 {
    let mut energy = 0.0;
    for (place, body) in bodies.iter().enumerate() {
        let [x, y, z] = body.velocity;
        energy += 0.5 * body.mass * (x * x + y * y + z * z);
        for other in &bodies[place + 1..] {
            let [x, y, z] = distance(body, other);
            energy -= body.mass * other.mass / (x * x + y * y + z * z).sqrt();
        }
    }
    energy
}

fn checksum(bodies: &[Body; 5]) -> u64 {
    let bits = bodies.iter().flat_map(|body| body.position).map(f64::to_bits);
    bits.fold(0, |sum, bits| sum.wrapping_mul(31).wrapping_add(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<NBody>(request, &mut response).map_err(|error| error.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    #[test]
    fn energies_are_those_that_are_published() {
        let outcome = NBody::compute(1000).unwrap();
        assert_eq!(format!("{:.9}", outcome.before), "-0.169075164");
        assert_eq!(format!("{:.9}", outcome.after), "-0.169087605");
    }

    #[test]
    fn momentum_stays_nothing() {
        let mut bodies = system();
        (0..1000).for_each(|_| advance(&mut bodies));
        for axis in 0..3 {
            let sum: f64 = bodies.iter().map(|body| body.velocity[axis] * body.mass).sum();
            assert!(sum.abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn the_response_is_a_line_of_json() {
        let line = answer(b" 0\n").unwrap();
        assert!(line.starts_with("{\"steps\":0,\"before\":-0.169075164,\"after\":-0.169075164,"));
        assert!(line.ends_with("}\n"), "{line}");
        assert_ne!(answer(b"1").unwrap(), answer(b"2").unwrap());
    }

    #[test]
    fn malformed_steps_are_refused() {
        for request in [&b""[..], b"ten", b"-5", b"1.5", b"99999999999999"] {
            let message = answer(request).unwrap_err();
            assert!(message.starts_with("the steps are not a decimal number"), "{message}");
        }
        assert_eq!(answer(&[0xff]).unwrap_err(), "the steps are not text");
        assert_eq!(answer(b"25000001").unwrap_err(), "25000001 steps are more than 25000000");
    }
}
