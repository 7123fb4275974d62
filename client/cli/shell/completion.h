// What could stand where the cursor is: commands, options, values of options that have a fixed set, names of files, and
// keys of the cluster. Commands and options are read off the parser itself, so that a new one is completed without a
// word here; keys are asked for through a function. No terminal, no network.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/connection.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the name is CLI11's
class App;
}

namespace loyal::cli {

struct Completion {
    std::size_t begin = 0;                // of the line: what is replaced begins here and ends at the cursor
    std::vector<std::string> candidates;  // whole words, not quoted, in order, each once
    bool more = false;                    // there are more keys than these
};

struct KeysFound {
    std::vector<std::string> keys;
    bool more = false;
};
using KeysByPrefix = std::function<KeysFound(const std::string& prefix)>;

// `line` up to the cursor. `builtins`: words of the shell itself, which stand first in a line.
[[nodiscard]] Completion complete(const CLI::App& app, const std::vector<std::string>& builtins, std::string_view line,
                                  const KeysByPrefix& keys);

// What all candidates begin with, never ending inside a UTF-8 character.
[[nodiscard]] std::string common_beginning(const std::vector<std::string>& candidates);

}  // namespace loyal::cli
