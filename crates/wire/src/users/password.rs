//! What is kept of a password, and the comparison that tells nothing by its time.

use hydron_base::{Code, Error, Result};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A password as Proton's users file has it. A plain one is kept as its SHA-256.
#[derive(Clone)]
pub(super) enum Password {
    Sha256([u8; 32]),
    /// SHA-1 of SHA-1, as MySQL keeps it.
    DoubleSha1([u8; 20]),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[HIDDEN]")
    }
}

/// A password that someone has sent, in every form that it may be compared in: the work does not depend on the user.
pub(super) struct Proof {
    sha256: [u8; 32],
    double_sha1: [u8; 20],
}

impl Proof {
    pub(super) fn of(password: &str) -> Proof {
        Proof {
            sha256: Sha256::digest(password.as_bytes()).into(),
            double_sha1: Sha1::digest(Sha1::digest(password.as_bytes())).into(),
        }
    }
}

impl Password {
    pub(super) fn plain(password: &str) -> Password {
        Password::Sha256(Proof::of(password).sha256)
    }

    /// The password of a user that does not exist: no text has this hash that anyone could find.
    pub(super) fn unknown() -> Password {
        Password::Sha256([0; 32])
    }

    /// Errors: CONFIG_ERROR for a text that is not 64 hexadecimal digits.
    pub(super) fn sha256(hex: &str) -> Result<Password> {
        Ok(Password::Sha256(digits(hex, "password_sha256_hex")?))
    }

    /// Errors: CONFIG_ERROR for a text that is not 40 hexadecimal digits.
    pub(super) fn double_sha1(hex: &str) -> Result<Password> {
        Ok(Password::DoubleSha1(digits(hex, "password_double_sha1_hex")?))
    }

    pub(super) fn accepts(&self, proof: &Proof) -> bool {
        // Both comparisons are made always, so that the kind of a user's password does not show either.
        let (sha256, double_sha1) = match self {
            Password::Sha256(hash) => (*hash, [0; 20]),
            Password::DoubleSha1(hash) => ([0; 32], *hash),
        };
        bool::from(proof.sha256.ct_eq(&sha256) | proof.double_sha1.ct_eq(&double_sha1))
    }
}

fn digits<const N: usize>(hex: &str, key: &str) -> Result<[u8; N]> {
    let wrong = || Error::new(Code::CONFIG_ERROR, format!("{key} must be {} hexadecimal digits", 2 * N));
    let bytes = hex.as_bytes();
    if bytes.len() != 2 * N {
        return Err(wrong());
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
        *byte = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_accepts_its_password_alone() {
        // printf secret | sha256sum; printf secret | openssl sha1 -binary | sha1sum
        let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let double_sha1 = "14e65567abdb5135d0cfd9a70b3032c179a49ee7";
        let forms = [
            Password::plain("secret"),
            Password::sha256(sha256).unwrap(),
            Password::sha256(&sha256.to_uppercase()).unwrap(),
            Password::double_sha1(double_sha1).unwrap(),
        ];
        for form in forms {
            assert!(form.accepts(&Proof::of("secret")));
            assert!(!form.accepts(&Proof::of("Secret")) && !form.accepts(&Proof::of("")));
            assert_eq!(format!("{form:?}"), "[HIDDEN]");
        }
        assert!(!Password::unknown().accepts(&Proof::of("")));
        for wrong in ["", "zz", &sha256[1..], &sha256.replace('2', "é")] {
            assert_eq!(Password::sha256(wrong).unwrap_err().code, Code::CONFIG_ERROR);
        }
    }
}
