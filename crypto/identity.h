// Ed25519 identities (RFC 8032, as libsodium 1.0.18 accepts signatures) and their files.
//
// A key file is text: a header line, the kind (replica or client), the name, the public key and the secret seed in
// base64, and a checksum. It is written 0600 in a 0700 folder, atomically (temporary file, fsync, rename, fsync of the
// folder), and refused when others can read it. Secrets are kept in memory that is locked where the system allows it
// and wiped when freed; they are compared in constant time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "config/result.h"
#include "crypto/signature.h"

namespace loyal::crypto {

class Identity final : public Signer {
 public:
    [[nodiscard]] static Identity generate();
    // From a 32-byte seed; for tests and key files.
    [[nodiscard]] static Identity from_seed(const std::array<std::uint8_t, 32>& seed);
    ~Identity() override;
    Identity(Identity&&) noexcept;
    Identity& operator=(Identity&&) noexcept;

    [[nodiscard]] Signature sign(ByteView message) const override;
    [[nodiscard]] const PublicKey& public_key() const override;

 private:
    struct Secret;
    friend struct KeyFileAccess;
    explicit Identity(std::unique_ptr<Secret> secret);
    std::unique_ptr<Secret> secret_;
};

// Accepts what libsodium accepts: canonical S, canonical and not small-order points.
class Ed25519Verifier final : public SignatureVerifier {
 public:
    [[nodiscard]] bool verify(const PublicKey& key, ByteView message, const Signature& signature) const override;
};

// A point that may be a public key: canonical, of the main subgroup and not of small order.
[[nodiscard]] bool is_valid_public_key(const PublicKey& key);

struct KeyFile {
    std::string kind;  // "replica" or "client"
    std::string name;  // "0", "default"
    Identity identity;
};
// Names are 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or a digit: they become parts of file names.
[[nodiscard]] bool is_valid_key_name(std::string_view name) noexcept;
// Never overwrites: Errc::conflict when the file exists. Creates the folder, 0700, when only it is missing; refuses one
// that group or others may write to.
[[nodiscard]] Result<void> write_key_file(const std::filesystem::path& path, const KeyFile& key);
// Errc::not_found, permission (others can read it), corrupted (damaged, changed or no key file).
[[nodiscard]] Result<KeyFile> read_key_file(const std::filesystem::path& path);

// Must be called once before anything else of crypto/ is used; aborts if libsodium cannot start.
void initialize();

[[nodiscard]] std::string to_base64(ByteView bytes);
[[nodiscard]] Result<Bytes> from_base64(std::string_view text);
[[nodiscard]] bool equal_constant_time(ByteView a, ByteView b);

}  // namespace loyal::crypto
