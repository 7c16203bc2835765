//! What is kept of a password, and the comparison that tells nothing by its time.

use hydron_base::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What is kept of a password. A plain one is kept as its SHA-256.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Password {
    /// Anything is accepted.
    None,
    Sha256([u8; 32]),
    /// SHA-256 of the password with a salt behind it.
    SaltedSha256 {
        hash: [u8; 32],
        salt: String,
    },
    /// SHA-1 of SHA-1, as MySQL keeps it.
    DoubleSha1([u8; 20]),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[HIDDEN]")
    }
}

/// A password that someone has sent, in every form that it may be compared in: the work does not depend on the user.
pub struct Proof {
    password: Vec<u8>,
    sha256: [u8; 32],
    double_sha1: [u8; 20],
}

impl Proof {
    pub fn of(password: &str) -> Proof {
        Proof {
            password: password.as_bytes().to_vec(),
            sha256: Sha256::digest(password.as_bytes()).into(),
            double_sha1: Sha1::digest(Sha1::digest(password.as_bytes())).into(),
        }
    }
}

impl Password {
    pub fn plain(password: &str) -> Password {
        Password::Sha256(Proof::of(password).sha256)
    }

    /// The password of a user that does not exist: no text has this hash that anyone could find.
    pub fn unknown() -> Password {
        Password::Sha256([0; 32])
    }

    /// The password with a new salt, as CREATE USER keeps it.
    pub fn salted(password: &str, salt: String) -> Password {
        Password::SaltedSha256 { hash: salted_hash(password.as_bytes(), &salt), salt }
    }

    /// The double SHA-1 of a plain password.
    pub fn plain_double_sha1(password: &str) -> Password {
        Password::DoubleSha1(Proof::of(password).double_sha1)
    }

    /// With the salt that a hash was made with.
    pub fn with_salt(self, salt: Option<&str>) -> Password {
        match (self, salt) {
            (Password::Sha256(hash), Some(salt)) if !salt.is_empty() => {
                Password::SaltedSha256 { hash, salt: salt.to_owned() }
            }
            (other, _) => other,
        }
    }

    /// The name that IDENTIFIED WITH has for it.
    pub fn method(&self) -> &'static str {
        match self {
            Password::None => "no_password",
            Password::Sha256(_) | Password::SaltedSha256 { .. } => "sha256_password",
            Password::DoubleSha1(_) => "double_sha1_password",
        }
    }

    /// Errors: CONFIG_ERROR for a text that is not 64 hexadecimal digits.
    pub fn sha256(hex: &str) -> Result<Password> {
        Ok(Password::Sha256(digits(hex, "password_sha256_hex")?))
    }

    /// Errors: CONFIG_ERROR for a text that is not 40 hexadecimal digits.
    pub fn double_sha1(hex: &str) -> Result<Password> {
        Ok(Password::DoubleSha1(digits(hex, "password_double_sha1_hex")?))
    }

    pub fn accepts(&self, proof: &Proof) -> bool {
        // Both comparisons are made always, so that the kind of a user's password does not show either.
        let (sha256, double_sha1, salted, salt) = match self {
            Password::None => ([0; 32], [0; 20], [0; 32], ""),
            Password::Sha256(hash) => (*hash, [0; 20], [0; 32], ""),
            Password::DoubleSha1(hash) => ([0; 32], *hash, [0; 32], ""),
            Password::SaltedSha256 { hash, salt } => ([0; 32], [0; 20], *hash, salt.as_str()),
        };
        let with_salt = salted_hash(&proof.password, salt);
        let fits = proof.sha256.ct_eq(&sha256) | proof.double_sha1.ct_eq(&double_sha1) | with_salt.ct_eq(&salted);
        bool::from(fits | u8::from(*self == Password::None).ct_eq(&1))
    }
}

fn salted_hash(password: &[u8], salt: &str) -> [u8; 32] {
    Sha256::new().chain_update(password).chain_update(salt.as_bytes()).finalize().into()
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
            Password::plain_double_sha1("secret"),
            Password::salted("secret", "pepper".to_owned()),
        ];
        for form in forms {
            assert!(form.accepts(&Proof::of("secret")));
            assert!(!form.accepts(&Proof::of("Secret")) && !form.accepts(&Proof::of("")));
            assert_eq!(format!("{form:?}"), "[HIDDEN]");
        }
        assert!(Password::None.accepts(&Proof::of("")) && Password::None.accepts(&Proof::of("x")));
        let salted = Password::salted("secret", "pepper".to_owned());
        let again: Password = serde_json::from_str(&serde_json::to_string(&salted).unwrap()).unwrap();
        assert!(again == salted && again.accepts(&Proof::of("secret")));
        assert!(!Password::unknown().accepts(&Proof::of("")));
        for wrong in ["", "zz", &sha256[1..], &sha256.replace('2', "é")] {
            assert_eq!(Password::sha256(wrong).unwrap_err().code, Code::CONFIG_ERROR);
        }
    }
}
