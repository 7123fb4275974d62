#include "client/cli/record_format.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/cli/connection.h"
#include "client/cli/output.h"
#include "config/limits.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

void append_escaped(std::string& line, ByteView bytes) {
    for (const char c : text_of(bytes)) {
        switch (c) {
            case '\t': line += "\\t"; break;
            case '\n': line += "\\n"; break;
            case '\\': line += "\\\\"; break;
            default: line.push_back(c);
        }
    }
}

Answer<Bytes> unescape(std::string_view text, std::string_view what) {
    Bytes bytes;
    bytes.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            bytes.push_back(static_cast<std::uint8_t>(text[i]));
            continue;
        }
        const char escape = ++i < text.size() ? text[i] : '\0';
        switch (escape) {
            case 't': bytes.push_back('\t'); break;
            case 'n': bytes.push_back('\n'); break;
            case '\\': bytes.push_back('\\'); break;
            default: return refuse_input(fmt::format("the {} has a backslash that is not \\t, \\n or \\\\", what));
        }
    }
    return bytes;
}

Answer<Record> read_tsv(std::string_view line) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string_view::npos) {
        return refuse_input("no tab between key and value");
    }
    if (line.find('\t', tab + 1) != std::string_view::npos) {
        return refuse_input("more than one tab; a tab inside a key or value is written \\t");
    }
    Answer<Bytes> key = unescape(line.substr(0, tab), "key");
    if (!key) {
        return tl::unexpected<Failure>(key.error());
    }
    Answer<Bytes> value = unescape(line.substr(tab + 1), "value");
    if (!value) {
        return tl::unexpected<Failure>(value.error());
    }
    return Record{std::move(*key), std::move(*value)};
}

Answer<Record> read_jsonl(std::string_view line) {
    const Json object = Json::parse(line.begin(), line.end(), nullptr, false);
    if (object.is_discarded() || !object.is_object()) {
        return refuse_input("not a JSON object");
    }
    if (object.size() != 2 || !object.contains("key") || !object.contains("value")) {
        return refuse_input("a record has exactly the fields \"key\" and \"value\"");
    }
    Answer<Bytes> key = bytes_of_json(object["key"], "\"key\"");
    if (!key) {
        return tl::unexpected<Failure>(key.error());
    }
    Answer<Bytes> value = bytes_of_json(object["value"], "\"value\"");
    if (!value) {
        return tl::unexpected<Failure>(value.error());
    }
    return Record{std::move(*key), std::move(*value)};
}

}  // namespace

std::string write_record(ByteView key, ByteView value, RecordFormat format) {
    if (format == RecordFormat::jsonl) {
        return Json{{"key", json_of(key)}, {"value", json_of(value)}}.dump();
    }
    std::string line;
    line.reserve(key.size() + value.size() + 1);
    append_escaped(line, key);
    line.push_back('\t');
    append_escaped(line, value);
    return line;
}

Answer<Record> read_record(std::string_view line, RecordFormat format) {
    Answer<Record> record = format == RecordFormat::tsv ? read_tsv(line) : read_jsonl(line);
    if (!record) {
        return record;
    }
    if (const Answer<void> fits = check_key(record->key); !fits) {
        return tl::unexpected<Failure>(fits.error());
    }
    if (const Answer<void> fits = check_value(record->value); !fits) {
        return tl::unexpected<Failure>(fits.error());
    }
    return record;
}

RecordFormat detect_format(std::string_view path, std::string_view first_line) {
    const std::size_t dot = path.rfind('.');
    const std::string_view extension = dot == std::string_view::npos ? "" : path.substr(dot);
    if (extension == ".jsonl" || extension == ".ndjson" || extension == ".json") {
        return RecordFormat::jsonl;
    }
    if (extension == ".tsv") {
        return RecordFormat::tsv;
    }
    // A TSV key may begin with a brace, too; a tab cannot stand unescaped in a JSON string, so a line with one that is
    // no JSON is TSV.
    const bool brace = first_line.starts_with('{');
    const bool tab = first_line.find('\t') != std::string_view::npos;
    return brace && (!tab || Json::accept(first_line.begin(), first_line.end())) ? RecordFormat::jsonl
                                                                                 : RecordFormat::tsv;
}

Answer<bool> LineReader::fill() {
    buffer_.resize(256U << 10U);
    position_ = 0;
    ssize_t got = 0;
    do {
        got = ::read(descriptor_, buffer_.data(), buffer_.size());
    } while (got < 0 && errno == EINTR && (stop_ == nullptr || !*stop_));
    buffer_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    if (got < 0) {
        return refuse_input(fmt::format("the input cannot be read: {}", std::strerror(errno)));
    }
    return got > 0;
}

Answer<std::optional<std::string_view>> LineReader::next() {
    line_.clear();
    ++number_;
    for (;;) {
        if (position_ == buffer_.size()) {
            const Answer<bool> filled = fill();
            if (!filled) {
                return tl::unexpected<Failure>(filled.error());
            }
            if (!*filled) {
                terminated_ = line_.empty();
                return line_.empty() ? std::nullopt : std::optional<std::string_view>(line_);
            }
        }
        const std::size_t newline = buffer_.find('\n', position_);
        const std::size_t end = newline == std::string::npos ? buffer_.size() : newline;
        if (line_.size() + (end - position_) > line_bytes_max) {
            return refuse_input(
                fmt::format("the line is longer than {} bytes, more than any record needs", line_bytes_max));
        }
        line_.append(buffer_, position_, end - position_);
        offset_ += end - position_ + (newline == std::string::npos ? 0 : 1);
        position_ = newline == std::string::npos ? end : end + 1;
        if (newline != std::string::npos) {
            return std::optional<std::string_view>(line_);
        }
    }
}

}  // namespace loyal::cli
