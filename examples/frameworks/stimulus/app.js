// An invoice's form with Stimulus: the page's own mark-up, one controller.
import '../who.js';

import { Application } from '@hotwired/stimulus';

import { FormLockController } from 'formlock/stimulus';
import { pageClient } from '/formlock/formlock.js';

FormLockController.client = pageClient();
Application.start().register('form-lock', FormLockController);
