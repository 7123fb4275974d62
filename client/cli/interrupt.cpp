#include "client/cli/interrupt.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace loyal::cli {

namespace {

constexpr int interrupts_endured = 2;

std::atomic<bool> was_interrupted = false;
std::atomic<int> last_signal = 0;

// What the signal handler of CommandInterrupts may touch.
std::atomic<bool> several_commands = false;
std::atomic<bool> asked_to_end = false;
std::atomic<bool> endures_all = false;
std::atomic<int> interrupts = 0;
std::atomic<int> wake_descriptor = -1;

void set_handler(int number, void (*handler)(int), int flags) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(number, &action, nullptr);
}

void on_signal(int number) {
    const int before = errno;
    last_signal = number;
    was_interrupted = true;
    if (number != SIGINT) {
        asked_to_end = true;
    } else if (++interrupts > interrupts_endured && !endures_all) {
        set_handler(SIGINT, SIG_DFL, 0);
        (void)::raise(SIGINT);
    }
    const std::uint64_t one = 1;
    (void)!::write(wake_descriptor, &one, sizeof one);
    errno = before;
}

}  // namespace

std::atomic<bool>& catch_interrupt(SecondInterrupt second) {
    if (several_commands) {
        endures_all = second == SecondInterrupt::is_ignored;
        return was_interrupted;
    }
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        set_handler(
            number,
            [](int signal_number) {
                last_signal = signal_number;
                was_interrupted = true;
            },
            second == SecondInterrupt::ends_program ? static_cast<int>(SA_RESETHAND) : 0);
    }
    return was_interrupted;
}

int interrupt_signal() {
    return last_signal;
}

struct CommandInterrupts::State {
    std::function<void()> on_interrupt;
    int descriptor = -1;
    std::atomic<bool> over = false;
    std::thread thread;

    void serve() {
        // Signals are the other threads' business.
        sigset_t all;
        ::sigfillset(&all);
        (void)::pthread_sigmask(SIG_BLOCK, &all, nullptr);
        std::uint64_t count = 0;
        for (;;) {
            const ssize_t got = ::read(descriptor, &count, sizeof count);
            if (over || (got < 0 && errno != EINTR)) {
                return;
            }
            if (got > 0) {
                on_interrupt();
            }
        }
    }
};

CommandInterrupts::CommandInterrupts(std::function<void()> on_interrupt) : state_(std::make_unique<State>()) {
    state_->on_interrupt = std::move(on_interrupt);
    state_->descriptor = ::eventfd(0, EFD_CLOEXEC);
    wake_descriptor = state_->descriptor;
    several_commands = true;
    state_->thread = std::thread([state = state_.get()] { state->serve(); });
}

CommandInterrupts::~CommandInterrupts() {
    end_command();
    state_->over = true;
    const std::uint64_t one = 1;
    (void)!::write(state_->descriptor, &one, sizeof one);
    state_->thread.join();
    several_commands = false;
    wake_descriptor = -1;
    ::close(state_->descriptor);
}

void CommandInterrupts::begin_command() {
    was_interrupted = false;
    last_signal = 0;
    endures_all = false;
    interrupts = 0;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        set_handler(number, on_signal, 0);
    }
}

void CommandInterrupts::end_command() {
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        set_handler(number, SIG_DFL, 0);
    }
}

bool CommandInterrupts::ended() const {
    return asked_to_end;
}

}  // namespace loyal::cli
