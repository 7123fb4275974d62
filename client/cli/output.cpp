#include "client/cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/cli/terminal_text.h"
#include "crypto/identity.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

// The JSON library decides what is valid UTF-8: dumping a string that is not throws type_error 316.
bool is_utf8(std::string_view text) {
    if (std::all_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x80; })) {
        return true;
    }
    try {
        (void)Json(text).dump();
        return true;
    } catch (const Json::exception&) {
        return false;
    }
}

bool is_number(const std::string& cell) {
    return !cell.empty() && std::all_of(cell.begin(), cell.end(), [](char c) {
        return std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '+';
    });
}

}  // namespace

Json json_of(ByteView bytes) {
    const std::string_view text = text_of(bytes);
    if (is_utf8(text)) {
        return Json(text);
    }
    return Json{{"base64", crypto::to_base64(bytes)}};
}

Answer<Bytes> bytes_of_json(const Json& value, std::string_view what) {
    if (value.is_string()) {
        return bytes_of(value.get_ref<const std::string&>());
    }
    if (value.is_object() && value.size() == 1 && value.contains("base64") && value["base64"].is_string()) {
        const Result<Bytes> decoded = crypto::from_base64(value["base64"].get_ref<const std::string&>());
        if (!decoded) {
            return refuse_input(fmt::format("{}: {}", what, decoded.error().message));
        }
        return *decoded;
    }
    return refuse_input(fmt::format("{} must be a string or {{\"base64\": \"...\"}}", what));
}

Json json_of(consensus::Hlc timestamp) {
    return Json{{"hlc", fmt::format("{}.{}", timestamp.wall_ms(), timestamp.counter())},
                {"rfc3339", rfc3339(timestamp.wall_ms())}};
}

Json json_of(const std::vector<consensus::ReplicaId>& replicas) {
    Json list = Json::array();
    for (const consensus::ReplicaId replica : replicas) {
        list.push_back(replica.value);
    }
    return list;
}

std::string rfc3339(std::uint64_t wall_ms) {
    const auto seconds = static_cast<std::time_t>(wall_ms / 1000);
    std::tm utc{};
    if (gmtime_r(&seconds, &utc) == nullptr) {
        return "";
    }
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                       utc.tm_hour, utc.tm_min, utc.tm_sec, wall_ms % 1000);
}

std::string text_in_form(ByteView bytes, TextForm form) {
    switch (form) {
        case TextForm::hex: return to_hex(bytes);
        case TextForm::base64: return crypto::to_base64(bytes);
        case TextForm::plain: break;
    }
    return string_of(bytes);
}

std::string printable(ByteView bytes, TextForm form) {
    if (form != TextForm::plain) {
        return text_in_form(bytes, form);
    }
    return terminal_safe(text_of(bytes), Lines::escaped);
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
    if (output_is_terminal()) {
        return table(rows, cell_columns_max);
    }
    return table(rows, SIZE_MAX);
}

std::string table(std::vector<std::vector<std::string>> rows, std::size_t cell_columns) {
    std::vector<std::size_t> widths;
    std::vector<bool> numeric;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        widths.resize(std::max(widths.size(), rows[r].size()), 0);
        numeric.resize(widths.size(), true);
        for (std::size_t c = 0; c < rows[r].size(); ++c) {
            rows[r][c] = shortened_to_columns(rows[r][c], cell_columns);
            widths[c] = std::max(widths[c], columns_of(rows[r][c]));
            numeric[c] = numeric[c] && (r == 0 || is_number(rows[r][c]));
        }
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t c = 0; c < row.size(); ++c) {
            const std::string padding(widths[c] - columns_of(row[c]), ' ');
            line += (c == 0 ? "" : "  ");
            line += numeric[c] ? padding + row[c] : row[c] + padding;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

void print(std::string_view text) {
    if (output_is_terminal()) {
        const std::string safe = terminal_safe(text, Lines::kept);
        (void)std::fwrite(safe.data(), 1, safe.size(), stdout);
        return;
    }
    (void)std::fwrite(text.data(), 1, text.size(), stdout);
}

void print_json(const Json& document) {
    std::string text = document.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (output_is_terminal() && terminal_safe(text, Lines::escaped) != text) {
        text = document.dump(-1, ' ', true, Json::error_handler_t::replace);  // \uNNNN is JSON, \xNN is not
    }
    print(text + "\n");
}

void print_error(std::string_view text) {
    print_control(error_is_terminal() ? terminal_safe(text, Lines::kept) : text);
}

void print_control(std::string_view text) {
    (void)std::fwrite(text.data(), 1, text.size(), stderr);
    (void)std::fflush(stderr);
}

std::size_t error_terminal_columns() {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80U;
}

bool output_is_terminal() {
    return ::isatty(STDOUT_FILENO) == 1;
}

bool error_is_terminal() {
    return ::isatty(STDERR_FILENO) == 1;
}

bool input_is_terminal() {
    return ::isatty(STDIN_FILENO) == 1;
}

Answer<void> finish_output() {
    errno = 0;
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        return refuse(Exit::internal, "io",
                      fmt::format("standard output could not be written: {}",
                                  errno == 0 ? "an earlier write failed" : std::strerror(errno)));
    }
    return {};
}

}  // namespace loyal::cli
