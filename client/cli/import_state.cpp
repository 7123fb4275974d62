#include "client/cli/import_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "config/files.h"

namespace loyal::cli {

namespace {

using StateJson = nlohmann::ordered_json;

constexpr int import_state_version = 1;
constexpr std::size_t import_state_bytes_max = 64U << 10U;

Failure no_state(const std::string& path, const std::string& why) {
    return {Exit::usage, "bad_input",
            fmt::format("{} is not the state of an import: {}; name another file for --resume, or remove this one to "
                        "begin anew",
                        path, why)};
}

std::optional<std::uint64_t> number_of(const StateJson& document, const char* field) {
    const bool known = document.contains(field) && document[field].is_number_unsigned();
    return known ? std::optional<std::uint64_t>(document[field].get<std::uint64_t>()) : std::nullopt;
}

std::optional<std::string> string_in(const StateJson& document, const char* field) {
    const bool known = document.contains(field) && document[field].is_string();
    return known ? std::optional<std::string>(document[field].get<std::string>()) : std::nullopt;
}

std::optional<crypto::Digest> digest_from(const std::string& hex) {
    crypto::Digest digest;
    if (hex.size() != 2 * digest.bytes.size()) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
        unsigned value = 0;
        for (const char c : hex.substr(2 * i, 2)) {
            const bool digit = c >= '0' && c <= '9';
            if (!digit && (c < 'a' || c > 'f')) {
                return std::nullopt;
            }
            value = value * 16 + static_cast<unsigned>(digit ? c - '0' : c - 'a' + 10);
        }
        digest.bytes[i] = static_cast<std::uint8_t>(value);
    }
    return digest;
}

bool write_whole(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(descriptor, text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
    }
    return true;
}

}  // namespace

std::string encode(const ImportState& state) {
    const StateJson document = {{"loyal_import_state", import_state_version},
                                {"cluster_id", state.cluster_id},
                                {"input", state.input},
                                {"size", state.size},
                                {"modified_ns", state.modified_ns},
                                {"format", state.format == RecordFormat::tsv ? "tsv" : "jsonl"},
                                {"offset", state.offset},
                                {"line", state.line},
                                {"prefix_digest", state.prefix.hex()}};
    return document.dump(-1, ' ', true, StateJson::error_handler_t::replace) + "\n";
}

Answer<ImportState> decode_import_state(std::string_view text, const std::string& path) {
    const StateJson document = StateJson::parse(text.begin(), text.end(), nullptr, false);
    if (!document.is_object() || !document.contains("loyal_import_state")) {
        return tl::unexpected<Failure>(no_state(path, "it has not its form"));
    }
    if (document["loyal_import_state"] != import_state_version) {
        return tl::unexpected<Failure>(no_state(path, "it is of another version of loyal"));
    }
    const auto cluster_id = string_in(document, "cluster_id");
    const auto input = string_in(document, "input");
    const auto format = string_in(document, "format");
    const auto prefix_hex = string_in(document, "prefix_digest");
    const auto size = number_of(document, "size");
    const auto offset = number_of(document, "offset");
    const auto line = number_of(document, "line");
    const bool has_time = document.contains("modified_ns") && document["modified_ns"].is_number_integer();
    const auto prefix = prefix_hex ? digest_from(*prefix_hex) : std::nullopt;
    const bool known_format = format && (*format == "tsv" || *format == "jsonl");
    if (!cluster_id || !input || !known_format || !prefix || !size || !offset || !line || !has_time) {
        return tl::unexpected<Failure>(no_state(path, "a field is missing or wrong"));
    }
    ImportState state;
    state.cluster_id = *cluster_id;
    state.input = *input;
    state.size = *size;
    state.modified_ns = document["modified_ns"].get<std::int64_t>();
    state.format = *format == "tsv" ? RecordFormat::tsv : RecordFormat::jsonl;
    state.offset = *offset;
    state.line = *line;
    state.prefix = *prefix;
    return state;
}

Answer<std::optional<ImportState>> read_import_state(const std::filesystem::path& path) {
    std::vector<std::uint8_t> buffer(import_state_bytes_max);
    const Result<std::size_t> size = read_file(path, buffer, Secrecy::open_to_all);
    if (!size) {
        if (size.error().code == Errc::not_found) {
            return std::optional<ImportState>();
        }
        return tl::unexpected<Failure>(input_failure_of(size.error()));
    }
    Answer<ImportState> state = decode_import_state(text_of(ByteView(buffer).first(*size)), path.string());
    if (!state) {
        return tl::unexpected<Failure>(std::move(state.error()));
    }
    return std::optional<ImportState>(std::move(*state));
}

Answer<void> write_import_state(const std::filesystem::path& path, const ImportState& state) {
    const auto failed = [&](int error) {
        return refuse(Exit::internal, error == ENOSPC ? "disk_full" : "io",
                      fmt::format("the state file {} cannot be written: {}", path.string(), std::strerror(error)));
    };
    std::filesystem::path fresh = path;
    fresh += ".new";
    FileHandle file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid() || !write_whole(file.get(), encode(state)) || ::fsync(file.get()) != 0 ||
        ::rename(fresh.c_str(), path.c_str()) != 0) {
        return failed(errno);
    }
    const std::filesystem::path folder = path.parent_path();
    if (const Result<void> synced = sync_folder(folder.empty() ? "." : folder); !synced) {
        return tl::unexpected<Failure>(failure_of(synced.error()));
    }
    return {};
}

InputDigest::InputDigest(int descriptor) : descriptor_(descriptor), hasher_("import-input") {}

Answer<void> InputDigest::advance_to(std::uint64_t offset) {
    std::array<std::uint8_t, 64U << 10U> buffer{};
    while (offset_ < offset) {
        const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), offset - offset_));
        const ssize_t got = ::pread(descriptor_, buffer.data(), wanted, static_cast<off_t>(offset_));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return refuse_input(fmt::format("the input cannot be read at byte {}: {}", offset_,
                                            got == 0 ? "it ends there" : std::strerror(errno)));
        }
        hasher_.update(ByteView(buffer).first(static_cast<std::size_t>(got)));
        offset_ += static_cast<std::uint64_t>(got);
    }
    return {};
}

crypto::Digest InputDigest::digest() const {
    crypto::Hasher copy = hasher_;
    return copy.finish();
}

}  // namespace loyal::cli
