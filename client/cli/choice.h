// choice: an option's value is one of a few words. CLI11's own CheckedTransformer shows the numbers behind the words,
// as bytes, in the help and in the error.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace loyal::cli {

// For Option::transform. The words stand in the help, and the shell completes them from there.
template <class Enum>
[[nodiscard]] CLI::Validator choice(const std::map<std::string, Enum>& values) {
    std::vector<std::string> words;
    for (const auto& [word, value] : values) {
        words.push_back(word);
    }
    const auto convert = std::make_shared<const CLI::Transformer>(values);
    return CLI::Validator(
        [values, words, convert](std::string& text) {
            return values.contains(text) ? (*convert)(text)
                                         : fmt::format("there is no {}; give {}", text, fmt::join(words, " or "));
        },
        fmt::format("{{{}}}", fmt::join(words, ",")), "choice");
}

}  // namespace loyal::cli
