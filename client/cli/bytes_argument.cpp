#include "client/cli/bytes_argument.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "client/cli/connection.h"
#include "config/limits.h"
#include "crypto/identity.h"

namespace loyal::cli {

namespace {

bool standard_input_taken = false;

int digit_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

Answer<Bytes> from_hex(const std::string& text, std::string_view what) {
    if (text.size() % 2 != 0) {
        return refuse_input(fmt::format("{}: an odd number of hexadecimal digits", what));
    }
    Bytes bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = digit_of(text[i]);
        const int low = digit_of(text[i + 1]);
        if (high < 0 || low < 0) {
            return refuse_input(fmt::format("{}: not hexadecimal at character {}", what, high < 0 ? i + 1 : i + 2));
        }
        bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
    }
    return bytes;
}

Answer<Bytes> read_all(std::FILE* file, const std::string& name) {
    Bytes bytes;
    std::uint8_t buffer[16384];
    while (bytes.size() <= limits::value_bytes_max) {
        const std::size_t got = std::fread(buffer, 1, sizeof buffer, file);
        bytes.insert(bytes.end(), buffer, buffer + got);
        if (got < sizeof buffer) {  // a terminal would have to be told the end of its input once more
            break;
        }
    }
    if (std::ferror(file) != 0) {
        return refuse_input(fmt::format("{} cannot be read: {}", name, std::strerror(errno)));
    }
    if (bytes.size() > limits::value_bytes_max) {
        return refuse_input(
            fmt::format("{} holds more than {} bytes (1 MiB), the limit of a value", name, limits::value_bytes_max));
    }
    return bytes;
}

}  // namespace

Answer<Bytes> decode_text(const std::string& text, TextForm form, std::string_view what) {
    if (form == TextForm::hex) {
        return from_hex(text, what);
    }
    if (form == TextForm::base64) {
        Result<Bytes> decoded = crypto::from_base64(text);
        if (!decoded) {
            return refuse_input(fmt::format("{}: {}", what, decoded.error().message));
        }
        return std::move(*decoded);
    }
    return bytes_of(text);
}

Answer<Bytes> key_argument(const std::string& text, TextForm form) {
    Answer<Bytes> key = decode_text(text, form, "key");
    if (key) {
        if (const Answer<void> fits = check_key(*key); !fits) {
            return tl::unexpected<Failure>(fits.error());
        }
    }
    return key;
}

Answer<Bytes> value_text(const std::string& text, TextForm form) {
    Answer<Bytes> value = decode_text(text, form, "value");
    if (value) {
        if (const Answer<void> fits = check_value(*value); !fits) {
            return tl::unexpected<Failure>(fits.error());
        }
    }
    return value;
}

Answer<Bytes> value_argument(const std::string& text, TextForm form) {
    if (text == "-") {
        if (const Answer<void> free = check_standard_input(); !free) {
            return tl::unexpected<Failure>(free.error());
        }
        return read_all(stdin, "standard input");
    }
    if (text.starts_with('@')) {
        const std::string path = text.substr(1);
        const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
        if (file == nullptr) {
            return refuse_input(fmt::format("{} cannot be opened: {}", path, std::strerror(errno)));
        }
        return read_all(file.get(), path);
    }
    return value_text(text, form);
}

Answer<void> check_standard_input() {
    if (standard_input_taken) {
        return refuse_input("standard input is what this shell reads its commands from; name a file instead of -");
    }
    return {};
}

void take_standard_input() {
    standard_input_taken = true;
}

Bytes end_of_prefix(ByteView prefix) {
    Bytes end(prefix.begin(), prefix.end());
    while (!end.empty() && end.back() == 0xFF) {
        end.pop_back();
    }
    if (!end.empty()) {
        ++end.back();
    }
    return end;
}

}  // namespace loyal::cli
