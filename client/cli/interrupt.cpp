#include "client/cli/interrupt.h"

#include <signal.h>

namespace loyal::cli {

namespace {

std::atomic<bool> was_interrupted = false;
std::atomic<int> last_signal = 0;

}  // namespace

std::atomic<bool>& catch_interrupt(SecondInterrupt second) {
    struct sigaction action {};
    action.sa_handler = [](int number) {
        last_signal = number;
        was_interrupted = true;
    };
    action.sa_flags = second == SecondInterrupt::ends_program ? static_cast<int>(SA_RESETHAND) : 0;
    ::sigemptyset(&action.sa_mask);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        ::sigaction(number, &action, nullptr);
    }
    return was_interrupted;
}

int interrupt_signal() {
    return last_signal;
}

}  // namespace loyal::cli
