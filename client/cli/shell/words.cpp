#include "client/cli/shell/words.h"

#include <algorithm>

#include <fmt/format.h>

#include "client/cli/terminal_text.h"

namespace loyal::cli {

namespace {

constexpr std::string_view blanks = " \t\r\n";

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Reads one line, word by word.
class Splitter {
 public:
    explicit Splitter(std::string_view line) : line_(line) {}

    // False at the end of the line or at a comment.
    bool begin_word() {
        at_ = std::min(line_.find_first_not_of(blanks, at_), line_.size());
        comment_ = at_ < line_.size() && line_[at_] == '#';
        word_.clear();
        begin_ = at_;
        return at_ < line_.size() && !comment_;
    }

    // To the end of the word, or to where it cannot be understood: then why_not() says why.
    void read_word() {
        while (why_not_.empty() && at_ < line_.size() && blanks.find(line_[at_]) == std::string_view::npos) {
            const char c = line_[at_++];
            if (c == '\'') {
                single_quotes();
            } else if (c == '"') {
                double_quotes();
            } else if (c == '$' && at_ < line_.size() && line_[at_] == '\'') {
                ++at_;
                escaped_quotes();
            } else if (c == '\\') {
                backslash();
            } else {
                word_.push_back(c);
            }
        }
    }

    [[nodiscard]] const std::string& word() const { return word_; }
    [[nodiscard]] std::size_t begin() const { return begin_; }
    [[nodiscard]] bool at_end() const { return at_ >= line_.size(); }
    [[nodiscard]] bool comment() const { return comment_; }
    [[nodiscard]] const std::string& why_not() const { return why_not_; }

 private:
    void single_quotes() {
        const std::size_t end = line_.find('\'', at_);
        word_ += line_.substr(at_, end == std::string_view::npos ? end : end - at_);
        close_at(end, '\'');
    }

    void double_quotes() {
        for (; at_ < line_.size() && line_[at_] != '"'; ++at_) {
            const bool kept =
                line_[at_] == '\\' && at_ + 1 < line_.size() && (line_[at_ + 1] == '"' || line_[at_ + 1] == '\\');
            at_ += kept ? 1 : 0;
            word_.push_back(line_[at_]);
        }
        close_at(at_ < line_.size() ? at_ : std::string_view::npos, '"');
    }

    void escaped_quotes() {
        while (at_ < line_.size() && line_[at_] != '\'' && why_not_.empty()) {
            const char c = line_[at_++];
            if (c == '\\') {
                escape();
            } else {
                word_.push_back(c);
            }
        }
        if (why_not_.empty()) {
            close_at(at_ < line_.size() ? at_ : std::string_view::npos, '\'');
        }
    }

    void escape() {
        const char c = at_ < line_.size() ? line_[at_++] : '\0';
        switch (c) {
            case 'n': word_.push_back('\n'); return;
            case 't': word_.push_back('\t'); return;
            case 'r': word_.push_back('\r'); return;
            case '\\':
            case '\'':
            case '"': word_.push_back(c); return;
            default: break;
        }
        const int high = c == 'x' && at_ < line_.size() ? hex_digit(line_[at_]) : -1;
        const int low = high >= 0 && at_ + 1 < line_.size() ? hex_digit(line_[at_ + 1]) : -1;
        if (low < 0) {
            why_not_ = "in $'...' a backslash is followed by n, t, r, \\, ', \" or x and two hexadecimal digits";
            return;
        }
        at_ += 2;
        word_.push_back(static_cast<char>(high * 16 + low));
    }

    void backslash() {
        if (at_ >= line_.size()) {
            why_not_ = "the line ends with a backslash; a backslash itself is written \\\\";
            return;
        }
        word_.push_back(line_[at_++]);
    }

    void close_at(std::size_t end, char quote) {
        if (end == std::string_view::npos) {
            at_ = line_.size();
            why_not_ = fmt::format("the quote at character {} is not closed by {}", begin_ + 1, quote);
            return;
        }
        at_ = end + 1;
    }

    std::string_view line_;
    std::size_t at_ = 0;
    std::size_t begin_ = 0;
    std::string word_;
    std::string why_not_;
    bool comment_ = false;
};

bool needs_no_quotes(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-+=:,./@%^~!?*[]{}()<>|&;").find(c) != std::string_view::npos;
}

}  // namespace

Answer<std::vector<std::string>> split_words(std::string_view line) {
    std::vector<std::string> words;
    Splitter splitter(line);
    while (splitter.begin_word()) {
        splitter.read_word();
        if (!splitter.why_not().empty()) {
            return refuse_input(splitter.why_not());
        }
        words.push_back(splitter.word());
    }
    return words;
}

TypedWords typed_words(std::string_view line) {
    TypedWords typed;
    Splitter splitter(line);
    while (splitter.begin_word()) {
        splitter.read_word();
        if (splitter.at_end()) {
            typed.last = splitter.word();
            typed.begin = splitter.begin();
            return typed;
        }
        typed.before.push_back(splitter.word());
        if (!splitter.why_not().empty()) {
            break;
        }
    }
    typed.comment = splitter.comment();
    typed.begin = line.size();
    return typed;
}

std::string quote_word(std::string_view word) {
    if (word.empty()) {
        return "''";
    }
    std::string text;
    for (bool first = true; !word.empty(); first = false) {
        const std::size_t length = utf8_length(word);
        const std::string_view bytes = word.substr(0, length == 0 ? 1 : length);
        const bool shown = length > 0 && terminal_safe(bytes, Lines::escaped) == bytes;
        word.remove_prefix(bytes.size());
        if (!shown) {
            for (const char byte : bytes) {
                text += fmt::format("$'\\x{:02x}'", static_cast<unsigned char>(byte));
            }
        } else if (length > 1 || needs_no_quotes(bytes.front())) {
            text += bytes;
        } else if (first || bytes.front() != '#') {
            text += fmt::format("\\{}", bytes.front());
        } else {
            text += bytes;
        }
    }
    return text;
}

}  // namespace loyal::cli
