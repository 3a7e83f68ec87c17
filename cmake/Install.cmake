# `cmake --install build`: the binary, its completions, the systemd unit, the documents.
include(GNUInstallDirs)
install(TARGETS laneway RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

configure_file(${CMAKE_SOURCE_DIR}/ops/systemd/laneway.service.in ${CMAKE_BINARY_DIR}/laneway.service @ONLY)
# systemd looks here whatever the prefix is, as long as it is /usr or /usr/local.
install(FILES ${CMAKE_BINARY_DIR}/laneway.service DESTINATION lib/systemd/system)

install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/examples/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples USE_SOURCE_PERMISSIONS)

# The binary writes its own completions, so they fit its commands.
install(CODE "
  foreach(shell IN ITEMS bash zsh fish)
    execute_process(COMMAND \"$<TARGET_FILE:laneway>\" completion \${shell} OUTPUT_FILE \"${CMAKE_BINARY_DIR}/completion.\${shell}\" RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
      message(FATAL_ERROR \"laneway completion \${shell} ended with \${result}\")
    endif()
  endforeach()")
install(FILES ${CMAKE_BINARY_DIR}/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME laneway)
install(FILES ${CMAKE_BINARY_DIR}/completion.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _laneway)
install(FILES ${CMAKE_BINARY_DIR}/completion.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME laneway.fish)
