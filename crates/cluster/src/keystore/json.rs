//! The JSON of a keystore (EIP-2335, spec 10 §4).

use super::{Cost, Keystore};
use crate::json::{Field, Output, ParseError, bare_hex};

const CIPHER: &str = "aes-128-ctr";
const CHECKSUM: &str = "sha256";
const PRF: &str = "hmac-sha256";
const VERSION: u64 = 4;
/// We use the first 32 bytes of whatever length is derived; both functions give the same for any.
const DERIVED_BYTES: u64 = 32;
const MAX_DERIVED_BYTES: u64 = 1024;
const MAX_SALT_BYTES: usize = 1024;

pub(super) fn read(field: &Field<'_>) -> Result<Keystore, ParseError> {
    let version = field.get("version")?;
    if version.number()? != VERSION {
        return Err(version.expected(VERSION.to_string()));
    }
    let crypto = field.get("crypto")?;
    let (checksum, cipher) = (crypto.get("checksum")?, crypto.get("cipher")?);
    expect_text(&checksum.get("function")?, CHECKSUM)?;
    expect_text(&cipher.get("function")?, CIPHER)?;
    let (cost, salt) = read_derivation(&crypto.get("kdf")?)?;
    let text = |key| Ok::<_, ParseError>(field.get(key)?.text()?.to_owned());
    Ok(Keystore {
        cost,
        salt,
        iv: cipher.get("params")?.get("iv")?.hex_sized()?,
        checksum: checksum.get("message")?.hex_sized()?,
        ciphertext: cipher.get("message")?.hex_sized()?,
        public_key: text("pubkey")?,
        path: text("path")?,
        uuid: text("uuid")?,
        description: text("description")?,
    })
}

fn expect_text(field: &Field<'_>, expected: &str) -> Result<(), ParseError> {
    if field.text()? == expected {
        Ok(())
    } else {
        Err(field.expected(format!("{expected:?}")))
    }
}

fn read_derivation(field: &Field<'_>) -> Result<(Cost, Vec<u8>), ParseError> {
    let function = field.get("function")?;
    let parameters = field.get("params")?;
    let number = |key| parameters.get(key)?.number();
    let cost = match function.text()? {
        "pbkdf2" => {
            expect_text(&parameters.get("prf")?, PRF)?;
            let rounds = parameters.get("c")?;
            Cost::pbkdf2(rounds.number()?)
                .map_err(|error| rounds.mismatch("an affordable derivation", error.to_string()))?
        }
        "scrypt" => Cost::scrypt(number("n")?, number("r")?, number("p")?)
            .map_err(|error| parameters.mismatch("an affordable derivation", error.to_string()))?,
        _ => return Err(function.expected("\"pbkdf2\" or \"scrypt\"")),
    };
    let derived = parameters.get("dklen")?;
    if !(DERIVED_BYTES..=MAX_DERIVED_BYTES).contains(&derived.number()?) {
        return Err(derived.expected(format!("{DERIVED_BYTES} to {MAX_DERIVED_BYTES}")));
    }
    let salt_field = parameters.get("salt")?;
    let salt = salt_field.hex()?;
    if salt.is_empty() || salt.len() > MAX_SALT_BYTES {
        return Err(salt_field.mismatch(
            format!("1 to {MAX_SALT_BYTES} bytes"),
            format!("{} bytes", salt.len()),
        ));
    }
    Ok((cost, salt))
}

pub(super) fn write(keystore: &Keystore) -> Output {
    let checksum = vec![
        ("function", Output::text(CHECKSUM)),
        ("message", bare_hex(&keystore.checksum)),
        ("params", Output::Object(vec![])),
    ];
    let cipher = vec![
        ("function", Output::text(CIPHER)),
        ("message", bare_hex(&keystore.ciphertext)),
        (
            "params",
            Output::Object(vec![("iv", bare_hex(&keystore.iv))]),
        ),
    ];
    let crypto = vec![
        ("checksum", Output::Object(checksum)),
        ("cipher", Output::Object(cipher)),
        ("kdf", write_derivation(keystore)),
    ];
    Output::Object(vec![
        ("crypto", Output::Object(crypto)),
        ("description", Output::text(&keystore.description)),
        ("pubkey", Output::text(&keystore.public_key)),
        ("path", Output::text(&keystore.path)),
        ("uuid", Output::text(&keystore.uuid)),
        ("version", Output::number(VERSION)),
    ])
}

fn write_derivation(keystore: &Keystore) -> Output {
    let salt = bare_hex(&keystore.salt);
    let (function, parameters) = match (keystore.cost.rounds(), keystore.cost.scrypt_parameters()) {
        (_, Some([n, r, p])) => (
            "scrypt",
            vec![
                ("dklen", Output::number(DERIVED_BYTES)),
                ("n", Output::number(n)),
                ("p", Output::number(p)),
                ("r", Output::number(r)),
                ("salt", salt),
            ],
        ),
        (rounds, None) => (
            "pbkdf2",
            vec![
                ("c", Output::number(rounds.unwrap_or_default())),
                ("dklen", Output::number(DERIVED_BYTES)),
                ("prf", Output::text(PRF)),
                ("salt", salt),
            ],
        ),
    };
    Output::Object(vec![
        ("function", Output::text(function)),
        ("message", Output::text("")),
        ("params", Output::Object(parameters)),
    ])
}
