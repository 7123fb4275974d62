// A key file, line by line:
//
//   loyal-key 1
//   kind: replica
//   name: 0
//   public: <base64 of 32 bytes>
//   secret: <base64 of the 32-byte seed>
//   checksum: <hex of H("keyfile", all lines above)>
//
// The checksum tells a damaged file from a wrong one; it protects nothing against somebody who can write the file.
#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "config/files.h"
#include "config/limits.h"
#include "crypto/digest.h"
#include "crypto/identity.h"
#include "crypto/identity_secret.h"

namespace loyal::crypto {
namespace {

constexpr std::size_t key_file_bytes_max = 1024;
constexpr std::size_t seed_bytes = crypto_sign_SEEDBYTES;
constexpr std::size_t seed_base64_chars = 44;
constexpr std::string_view first_line = "loyal-key 1";
constexpr std::string_view checksum_tag = "keyfile";

bool is_valid_kind(std::string_view kind) noexcept {
    return kind == "replica" || kind == "client";
}

// Text in locked memory: no copy of a secret may stay on the heap.
class SecretText {
 public:
    SecretText() : bytes_(key_file_bytes_max) {}

    // A key file's parts are bounded by its caller, so they fit.
    void append(std::string_view text) noexcept {
        const std::size_t count = std::min(text.size(), bytes_.size() - size_);
        std::memcpy(bytes_.data() + size_, text.data(), count);
        size_ += count;
    }
    void append_line(std::string_view label, std::string_view value) noexcept {
        append(label);
        append(": ");
        append(value);
        append("\n");
    }
    [[nodiscard]] ByteView view() const noexcept { return {bytes_.data(), size_}; }

 private:
    SecretBytes bytes_;
    std::size_t size_ = 0;
};

void append_seed(SecretText& text, const Identity& identity) noexcept {
    SecretBytes encoded(seed_base64_chars + 1);
    sodium_bin2base64(reinterpret_cast<char*>(encoded.data()), encoded.size(), KeyFileAccess::seed_of(identity),
                      seed_bytes, sodium_base64_VARIANT_ORIGINAL);
    text.append_line("secret", {reinterpret_cast<const char*>(encoded.data()), seed_base64_chars});
}

Result<void> prepare_folder(const std::filesystem::path& folder) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0) {
        return errno == ENOENT ? make_folder(folder, 0700) : fail_errno("cannot inspect", folder, errno);
    }
    if (!S_ISDIR(status.st_mode)) {
        return fail(Errc::invalid_argument, folder.string() + " is not a folder");
    }
    // In a folder that others may write to, they could put a key of their own in the place of this one.
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0) {
        return fail(Errc::permission, "group or others may write to " + folder.string() +
                                          "; keep keys in a private folder: chmod 700 " + folder.string());
    }
    return {};
}

// Cuts the text into lines and takes their values, in the one order there is.
class KeyFileParser {
 public:
    explicit KeyFileParser(std::string_view text) noexcept : rest_(text) {}

    [[nodiscard]] bool take_line(std::string_view expected) noexcept {
        const auto line = next_line();
        return line == expected;
    }
    // Empty when the label is another one.
    [[nodiscard]] std::string_view take_value(std::string_view label) noexcept {
        std::string_view line = next_line();
        if (!line.starts_with(label) || !line.substr(label.size()).starts_with(": ")) {
            return {};
        }
        return line.substr(label.size() + 2);
    }
    [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
    [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }

 private:
    [[nodiscard]] std::string_view next_line() noexcept {
        const auto end = rest_.find('\n');
        if (end == std::string_view::npos) {
            rest_ = {};
            return {};
        }
        const auto line = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return line;
    }

    std::string_view rest_;
};

tl::unexpected<Error> damaged(const std::filesystem::path& path, const std::string& why) {
    return fail(Errc::corrupted,
                path.string() + " is not a key file, or was damaged: " + why + "; restore it from its backup");
}

Result<KeyFile> parse_key_file(const std::filesystem::path& path, std::string_view text) {
    KeyFileParser parser(text);
    if (!parser.take_line(first_line)) {
        return damaged(path, "its first line is not \"" + std::string(first_line) + "\"");
    }
    const auto kind = parser.take_value("kind");
    const auto name = parser.take_value("name");
    const auto public_text = parser.take_value("public");
    const auto secret_text = parser.take_value("secret");
    const auto body = text.substr(0, text.size() - parser.left());
    const auto checksum = parser.take_value("checksum");
    if (!parser.at_end() || checksum != digest_of(checksum_tag, view_of(body)).hex()) {
        return damaged(path, "its checksum does not match");
    }
    if (!is_valid_kind(kind)) {
        return damaged(path, "kind is neither replica nor client");
    }
    if (!is_valid_key_name(name)) {
        return damaged(path, "its name is not a key name");
    }
    SecretBytes seed(seed_bytes);
    PublicKey public_key;
    if (decode_base64(secret_text, seed.span()) != seed_bytes ||
        decode_base64(public_text, public_key.bytes) != sizeof public_key) {
        return damaged(path, "a key is not 32 bytes of base64");
    }
    Identity identity = KeyFileAccess::from_seed(seed.data());
    if (identity.public_key() != public_key) {
        return damaged(path, "its public key does not belong to its secret");
    }
    return KeyFile{std::string(kind), std::string(name), std::move(identity)};
}

}  // namespace

bool is_valid_key_name(std::string_view name) noexcept {
    const auto is_alphanumeric = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !name.empty() && name.size() <= limits::client_name_bytes_max && is_alphanumeric(name.front()) &&
           std::all_of(name.begin(), name.end(),
                       [&](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

Result<void> write_key_file(const std::filesystem::path& path, const KeyFile& key) {
    if (!is_valid_kind(key.kind) || !is_valid_key_name(key.name)) {
        return fail(Errc::invalid_argument,
                    "a key needs a kind (replica or client) and a name of 1 to 64 letters, "
                    "digits, dots, dashes and underscores, not \"" +
                        key.name + "\"");
    }
    const auto folder = path.parent_path();
    if (auto prepared = prepare_folder(folder.empty() ? "." : folder); !prepared) {
        return prepared;
    }
    SecretText text;
    text.append(first_line);
    text.append("\n");
    text.append_line("kind", key.kind);
    text.append_line("name", key.name);
    text.append_line("public", to_base64(key.identity.public_key().bytes));
    append_seed(text, key.identity);
    text.append_line("checksum", digest_of(checksum_tag, text.view()).hex());
    auto written = write_new_file(path, text.view(), 0600);
    if (!written && written.error().code == Errc::conflict) {
        return fail(Errc::conflict, path.string() + " exists already and is not overwritten");
    }
    return written;
}

Result<KeyFile> read_key_file(const std::filesystem::path& path) {
    SecretBytes buffer(key_file_bytes_max);
    const auto size = read_file(path, buffer.span(), Secrecy::owner_only);
    if (!size) {
        return tl::unexpected(size.error());
    }
    return parse_key_file(path, text_of({buffer.data(), *size}));
}

}  // namespace loyal::crypto
