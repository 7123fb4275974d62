// A line of the shell taken apart into the words that `loyal` would get from a Unix shell: blanks divide, 'single
// quotes' keep everything, "double quotes" keep all but backslashes before \ and ", a backslash keeps the next
// character,
// $'...' has the escapes \n \t \r \\ \' \" \xNN for any byte, and # at the head of a word begins a comment. Nothing is
// expanded: $NAME, *, ~, | and > are themselves. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/failure.h"

namespace loyal::cli {

// Exit 2 for a quote that is not closed, a backslash at the end and an escape that does not exist.
[[nodiscard]] Answer<std::vector<std::string>> split_words(std::string_view line);

// A line whose last word is still being typed.
struct TypedWords {
    std::vector<std::string> before;
    std::string last;       // empty behind a blank
    std::size_t begin = 0;  // of `last`, as it is written in the line
    bool comment = false;   // what is being typed is a comment
};
// What cannot be understood yet is taken as far as it goes.
[[nodiscard]] TypedWords typed_words(std::string_view line);

// A word, or the beginning of one, in a form that split_words reads back, whatever its bytes are.
[[nodiscard]] std::string quote_word(std::string_view word);

}  // namespace loyal::cli
