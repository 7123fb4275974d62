// A line typed on a terminal, with editing, history and completion (libedit). One at a time in a process, used by one
// thread. The history is kept in a file that only its owner can read; a line that begins with a blank is not kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "client/cli/failure.h"
#include "client/cli/shell/completion.h"

namespace loyal::cli {

struct TypedLine {
    enum class End : std::uint8_t { line, interrupted, end_of_input };  // Enter, Ctrl-C, Ctrl-D
    End end = End::end_of_input;
    std::string text;
};

class LineEditor {
 public:
    using Completer = std::function<Completion(std::string_view line_to_cursor)>;
    // `history`: empty when there is to be none; a file that cannot be used is done without.
    [[nodiscard]] static Answer<std::unique_ptr<LineEditor>> open(std::filesystem::path history, Completer completer);
    ~LineEditor();
    LineEditor(const LineEditor&) = delete;
    LineEditor& operator=(const LineEditor&) = delete;

    // `prompt` is shown with what a terminal would act on escaped.
    [[nodiscard]] TypedLine read(const std::string& prompt);
    // Adds to the history, and writes it.
    void remember(const std::string& line);

 private:
    struct State;
    explicit LineEditor(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

// $XDG_STATE_HOME/loyal/history, else ~/.local/state/loyal/history; empty without either.
[[nodiscard]] std::filesystem::path history_path();

}  // namespace loyal::cli
