#include "client/cli/progress.h"

#include <algorithm>

#include <fmt/format.h>

#include "client/cli/output.h"
#include "client/cli/terminal_text.h"

namespace loyal::cli {

ProgressLine::ProgressLine() : terminal_(error_is_terminal()) {}

ProgressLine::~ProgressLine() {
    clear();
}

bool ProgressLine::due() const {
    return terminal_ && std::chrono::steady_clock::now() - last_ >= std::chrono::milliseconds(100);
}

void ProgressLine::show(const std::string& text) {
    if (terminal_) {
        print_control("\r\033[K" +
                      shortened_to_columns(terminal_safe(text, Lines::escaped), error_terminal_columns() - 1));
        shown_ = true;
        last_ = std::chrono::steady_clock::now();
    }
}

void ProgressLine::clear() {
    if (shown_) {
        print_control("\r\033[K");
        shown_ = false;
    }
}

std::string ProgressLine::bar(double fraction) {
    constexpr std::size_t width = 30;
    const double part = std::clamp(fraction, 0.0, 1.0);
    const auto full = static_cast<std::size_t>(part * static_cast<double>(width));
    return fmt::format("[{}{}] {:3.0f} %", std::string(full, '#'), std::string(width - full, '.'), part * 100.0);
}

}  // namespace loyal::cli
