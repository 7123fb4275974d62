// A line on a terminal's standard error that is rewritten in place; nothing at all when it is no terminal.
#pragma once

#include <chrono>
#include <string>

namespace loyal::cli {

class ProgressLine {
 public:
    ProgressLine();
    ~ProgressLine();  // clears it
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    // True when it is time to show something new (ten times a second, never without a terminal).
    [[nodiscard]] bool due() const;
    // Nothing from now on: where the same terminal gets the output itself.
    void hide() { terminal_ = false; }
    // Cut to the width of the terminal.
    void show(const std::string& text);
    // False without a terminal.
    [[nodiscard]] bool visible() const { return terminal_; }
    void clear();

    // "[#####.....]  50 %"
    [[nodiscard]] static std::string bar(double fraction);

 private:
    bool terminal_;
    bool shown_ = false;
    std::chrono::steady_clock::time_point last_{};
};

}  // namespace loyal::cli
